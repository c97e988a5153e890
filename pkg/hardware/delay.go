package hardware

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// delay is how long a fake takes: exactly from, or something between from and
// to with the mode at from.
type delay struct{ from, to time.Duration }

// parseDelay reads Ironic's notation: "a" is a seconds, "a,b" is between a
// and b seconds, empty and "0" are none. Ironic takes integers in a range;
// decimals are taken here as well.
func parseDelay(text string) (delay, error) {
	if strings.TrimSpace(text) == "" {
		return delay{}, nil
	}
	var d delay
	var err error
	from, to, isRange := strings.Cut(text, ",")
	if d.from, err = seconds(from); err != nil {
		return delay{}, err
	}
	d.to = d.from
	if isRange {
		if d.to, err = seconds(to); err != nil {
			return delay{}, err
		}
	}
	if d.to < d.from {
		return delay{}, fmt.Errorf("delay %q ends before it starts", text)
	}
	return d, nil
}

func seconds(text string) (time.Duration, error) {
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(f >= 0 && f <= math.MaxInt64/float64(time.Second)/2) {
		return 0, fmt.Errorf("%q is not a number of seconds", text)
	}
	return time.Duration(f * float64(time.Second)), nil
}

// draw returns the delay that the share u, from 0 up to 1, of all delays are
// shorter than. The density falls in a straight line from its mode at from to
// zero at to.
func (d delay) draw(u float64) time.Duration {
	span := float64(d.to - d.from)
	return d.to - time.Duration(span*math.Sqrt(1-u))
}

// wait lets the delay pass.
func (d delay) wait(ctx context.Context) error {
	if d.to == 0 {
		return sleep(ctx, 0)
	}
	return sleep(ctx, d.draw(rand.Float64()))
}

// sleep waits for d to pass. It returns the cause of ctx at once when that
// ends.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
