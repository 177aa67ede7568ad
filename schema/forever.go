package schema

import "time"

// Forever is the end of what has no end yet: a running contract, an identifier
// or range that is still valid.
var Forever = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
