package interop

import (
	"encoding/json"
	"net/http"
	"testing"
)

// counters are what the emulator has counted since the last call of `since`. They tell a healthy conversation from one
// that reconnects, or settles a second time through $management, for every message (docs/evidence/wire-protocol.md §0,
// fact 8).
type counters struct {
	emulator *emulator
	before   map[string]int64
}

// counters begins to count.
func (e *emulator) counters(t *testing.T) *counters {
	t.Helper()
	return &counters{emulator: e, before: e.statistics(t)}
}

func (e *emulator) statistics(t *testing.T) map[string]int64 {
	t.Helper()
	response := e.request(t, http.MethodGet, "statistics")
	defer response.Body.Close()
	counted := map[string]int64{}
	must(t, json.NewDecoder(response.Body).Decode(&counted))
	return counted
}

func (c *counters) since(t *testing.T) map[string]int64 {
	t.Helper()
	now, difference := c.emulator.statistics(t), map[string]int64{}
	for name, value := range now {
		difference[name] = value - c.before[name]
	}
	c.before = now
	return difference
}

// counted expects these counts since the last time.
func (c *counters) counted(t *testing.T, wanted map[string]int64) {
	t.Helper()
	found := c.since(t)
	for name, value := range wanted {
		if count, known := found[name]; !known || count != value {
			t.Fatalf("%s: %d, not %d, of %v", name, count, value, found)
		}
	}
}

// reach waits until something has been counted so many times since the last call of `since`.
func (c *counters) reach(t *testing.T, name string, count int64) {
	t.Helper()
	eventually(t, name, func() bool { return c.emulator.statistics(t)[name]-c.before[name] >= count })
}
