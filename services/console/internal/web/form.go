package web

import (
	"fmt"
	"time"

	"connectrpc.com/connect"
)

// ParseDuration reads a duration of a form: "15m", or "" for none. Its error is for the visitor.
func ParseDuration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("%q is no duration: write 15m or 8h", text))
	}
	return d, nil
}
