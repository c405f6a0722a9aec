package interop

import (
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus/admin"
)

// status changes the status of a queue.
func status(t *testing.T, client *admin.Client, queue string, status admin.EntityStatus) {
	t.Helper()
	ctx := during(t, patience)
	found, err := client.GetQueue(ctx, queue, nil)
	must(t, err)
	found.Status = &status
	_, err = client.UpdateQueue(ctx, queue, found.QueueProperties, nil)
	must(t, err)
}
