package interop

import (
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
)

func init() {
	if os.Getenv("SDKLOG") != "" {
		log.SetListener(func(e log.Event, s string) { fmt.Println(time.Now().Format("05.000"), e, s) })
	}
}
