package budget

import "context"

// Lane is how urgent a call is.
type Lane int

// Someone waits for a live call. A bulk call may take hours.
const (
	Live Lane = iota
	Bulk
)

type laneKey struct{}

// InLane puts the calls made with the context in a lane. Defaults to Live.
func InLane(ctx context.Context, lane Lane) context.Context {
	return context.WithValue(ctx, laneKey{}, lane)
}

// LaneOf returns the lane of the calls made with the context.
func LaneOf(ctx context.Context) Lane {
	lane, _ := ctx.Value(laneKey{}).(Lane)
	return lane
}
