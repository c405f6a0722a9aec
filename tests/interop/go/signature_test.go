package interop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"time"
)

// sign is a shared access signature for an address until then.
func sign(address, name, key string, until time.Time) string {
	resource := escape(address)
	digest := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(digest, "%s\n%d", resource, until.Unix())
	signature := url.QueryEscape(base64.StdEncoding.EncodeToString(digest.Sum(nil)))
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=%s", resource, signature, until.Unix(), name)
}
