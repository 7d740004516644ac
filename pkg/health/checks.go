// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vas-solutus/arca-network/pkg/nat"
	"github.com/vas-solutus/arca-network/pkg/ovnd"
	"github.com/vas-solutus/arca-network/pkg/ovnsync"
	"github.com/vas-solutus/arca-network/pkg/topology"
	"github.com/vas-solutus/arca-network/pkg/vnet"
)

// What still works without a component.
var (
	withoutStore    = []string{Traffic}
	withoutControl  = []string{Traffic, Reading, Changing}
	withoutDatapath = []string{Reading, Changing}
	withoutDisk     = []string{Traffic, Reading}
	withoutEgress   = []string{Traffic, Reading, Changing}
)

// StoreCheck writes to the store and reads from it.
func StoreCheck(check func(context.Context) error) Check {
	return Check{
		Name: Store, Liveness: true, Readiness: true, Essential: true, StillWorks: withoutStore,
		Timeout: 10 * time.Second,
		Measure: func(ctx context.Context) Measurement { return Measurement{Err: check(ctx)} },
	}
}

// NorthboundCheck asks the northbound database for a sign of life.
func NorthboundCheck(s *ovnsync.Syncer) Check {
	return Check{
		Name: Northbound, Readiness: true, StillWorks: withoutControl, Every: 5 * time.Second,
		Measure: func(ctx context.Context) Measurement {
			took, err := s.Check(ctx)
			return Measurement{RoundTrip: took, Err: err}
		},
	}
}

// How long the way to the switches may take. A large change, such as a
// thousand networks at once, takes 20 s.
const (
	pathSlow = 10 * time.Second
	pathDead = 30 * time.Second
)

// SouthboundCheck sends a mark through ovn-northd, the southbound database,
// ovn-controller and ovs-vswitchd and back. A mark that does not come back is
// waited for; no other one is sent after it.
func SouthboundCheck(s *ovnsync.Syncer) Check {
	var sent *ovnsync.Mark
	return Check{
		Name: SouthboundPath, Readiness: true, StillWorks: withoutControl,
		Every: 15 * time.Second, Timeout: pathSlow,
		Measure: func(ctx context.Context) Measurement {
			if sent == nil {
				var err error
				if sent, err = s.Mark(ctx); err != nil {
					sent = nil
					return Measurement{Err: err}
				}
			}
			err := sent.Wait(ctx)
			age := sent.Age()
			if err == nil || !errors.Is(err, context.DeadlineExceeded) {
				sent = nil // it came back, or went with its connection
			}
			return southbound(age, err)
		},
	}
}

// southbound decides what a mark of that age tells.
func southbound(age time.Duration, err error) Measurement {
	found := Measurement{RoundTrip: age, Err: err}
	switch {
	case err == nil && age > pathSlow:
		found.State = Degraded
		found.Message = fmt.Sprintf("the way to the switches took %v", age.Round(time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded) && age < pathDead:
		found.State = Degraded
	}
	return found
}

// OpenVSwitchCheck asks the Open_vSwitch database for a sign of life.
func OpenVSwitchCheck(m *vnet.Manager) Check {
	return Check{
		Name: OpenVSwitch, Readiness: true, StillWorks: withoutControl, Every: 5 * time.Second,
		Measure: func(ctx context.Context) Measurement {
			took, err := m.Echo(ctx)
			return Measurement{RoundTrip: took, Err: err}
		},
	}
}

// DatapathCheck looks whether the bridge is there, and has ovs-vswitchd do a
// change that changes nothing.
func DatapathCheck(m *vnet.Manager) Check {
	return Check{
		Name: Datapath, Readiness: true, Essential: true, StillWorks: withoutDatapath, Every: 15 * time.Second,
		Measure: func(ctx context.Context) Measurement {
			if err := m.Check(ctx); err != nil {
				return datapath(0, err)
			}
			took, err := m.RoundTrip(ctx)
			found := datapath(took, err)
			found.Message = text(err == nil, "type "+m.Info().Datapath)
			return found
		},
	}
}

// datapath decides what a look at it tells. Without the database nothing is
// known about it.
func datapath(took time.Duration, err error) Measurement {
	found := Measurement{RoundTrip: took, Err: err}
	if errors.Is(err, vnet.ErrNotConnected) {
		found.State = Unknown
	}
	return found
}

// DaemonsCheck looks whether the daemons that this process watches run. Where
// the system runs them (nil) it is Disabled.
func DaemonsCheck(components func() []ovnd.Component) Check {
	c := Check{Name: Daemons, StillWorks: withoutDatapath, Every: 5 * time.Second}
	if components != nil {
		c.Measure = func(context.Context) Measurement { return daemons(components()) }
	}
	return c
}

func daemons(components []ovnd.Component) Measurement {
	var said, wrong []string
	for _, d := range components {
		if d.PID != 0 {
			said = append(said, fmt.Sprintf("%s restarted %d times", d.Name, d.Restarts))
			continue
		}
		why := "died, and is being started"
		if d.LastError != "" {
			why = "does not start: " + d.LastError
		}
		wrong = append(wrong, d.Name+" "+why)
	}
	if len(wrong) > 0 {
		return Measurement{Err: errors.New(strings.Join(wrong, "; "))}
	}
	return Measurement{Message: strings.Join(said, ", ")}
}

// DNSCheck looks whether the names of containers are served.
func DNSCheck(check func(context.Context) error) Check {
	return Check{
		Name: DNS, StillWorks: withoutControl, Every: 5 * time.Second,
		Measure: func(ctx context.Context) Measurement { return Measurement{Err: check(ctx)} },
	}
}

// How much of the state folder's disk must be free. The databases are rewritten
// in full now and then, and so need their own size once more.
const (
	diskLow  = 256 << 20
	diskFull = 8 << 20
)

// DiskCheck looks how much space is left in the state folder.
func DiskCheck(dir string) Check {
	return Check{
		Name: Disk, StillWorks: withoutDisk,
		Measure: func(context.Context) Measurement {
			var fs unix.Statfs_t
			if err := unix.Statfs(dir, &fs); err != nil {
				return Measurement{Err: fmt.Errorf("state folder %s: %w", dir, err)}
			}
			return disk(dir, fs.Bavail*uint64(fs.Bsize))
		},
	}
}

func disk(dir string, free uint64) Measurement {
	found := Measurement{Message: fmt.Sprintf("%d MiB are free", free>>20)}
	switch {
	case free < diskFull:
		found.State = Unhealthy
	case free < diskLow:
		found.State, found.StillWorks = Degraded, withoutControl
	default:
		return found
	}
	found.Err = fmt.Errorf("state folder %s: %d MiB are free, want %d", dir, free>>20, diskLow>>20)
	return found
}

// Rules is what NATCheck asks of package nat.
type Rules interface {
	// Check looks whether the rules are in force.
	Check(ctx context.Context) error
	// Obstacles names chains of others that may drop what the rules let pass.
	Obstacles() ([]string, error)
}

// NATCheck looks whether this host's rules between containers and the world
// are in force, and whether those of others stand against them. Where nothing
// writes such rules (nil) it is Disabled.
func NATCheck(rules Rules) Check {
	c := Check{Name: NAT, Readiness: true, StillWorks: withoutControl, Every: 5 * time.Second, Timeout: 15 * time.Second}
	if rules != nil {
		c.Measure = func(ctx context.Context) Measurement {
			if err := rules.Check(ctx); err != nil {
				return translation(nil, err)
			}
			return translation(rules.Obstacles())
		}
	}
	return c
}

// translation decides what a look at the rules tells.
func translation(obstacles []string, err error) Measurement {
	found := Measurement{Err: err}
	switch {
	case errors.Is(err, nat.ErrPending):
		found.State = Unknown
	case len(obstacles) > 0:
		found.State = Degraded
		found.Err = fmt.Errorf("containers may not reach the world, nor be reached: %s drops what it does not know, and no rule of it accepts %s",
			strings.Join(obstacles, ", "), topology.UplinkInterface)
	}
	return found
}

// EgressCheck asks whether the world answers. Where nothing is asked (nil) it is
// Disabled. Containers of this host reach each other without, and changes are made.
func EgressCheck(every time.Duration, ask func(context.Context) error) Check {
	c := Check{Name: Egress, StillWorks: withoutEgress, Every: every}
	if ask != nil {
		c.Measure = func(ctx context.Context) Measurement { return Measurement{Err: ask(ctx)} }
	}
	return c
}

// NotInUse is a component that nothing uses: it is Disabled, and not missed.
func NotInUse(name string) Check { return Check{Name: name} }

func text(when bool, s string) string {
	if when {
		return s
	}
	return ""
}
