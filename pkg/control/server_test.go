// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/control"
	"github.com/vas-solutus/arca-network/pkg/health"
)

// told is a health that the test tells.
type told struct {
	report atomic.Pointer[health.Report]
	fn     func(health.Report)
}

func (h *told) Report() health.Report { return *h.report.Load() } // panics where it was not told

func (h *told) Subscribe(fn func(health.Report)) func() {
	h.fn = fn
	return func() {}
}

func (h *told) tell(r health.Report) {
	h.report.Store(&r)
	if h.fn != nil {
		h.fn(r)
	}
}

func TestHealth(t *testing.T) {
	h := &told{}
	since := metav1.NewTime(time.Now().Truncate(time.Second))
	h.tell(health.Report{State: health.OK, Alive: true, Ready: true})
	w := startWorldWith(t, nobody, control.Options{Health: h})
	states := healthpb.NewHealthClient(w.Conn())
	service := controlpb.NetworkControl_ServiceDesc.ServiceName
	stream, err := states.Watch(within(t, patience), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false, true} {
		h.tell(health.Report{State: health.Degraded, Alive: true, Ready: want, StillWorks: []string{health.Traffic}, Message: "dns is unhealthy",
			Components: []health.Component{{Name: health.DNS, State: health.Unhealthy, Since: since, LastError: "no answer", RoundTrip: metav1.Duration{Duration: time.Millisecond}}}})
		for {
			s, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if (s.Status == healthpb.HealthCheckResponse_SERVING) == want {
				break
			}
		}
		if s, err := states.Check(within(t, patience), &healthpb.HealthCheckRequest{}); err != nil || s.Status != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("alive, and says %v, %v", s, err)
		}
		got, err := w.GetHealth(within(t, patience), &controlpb.GetHealthRequest{})
		if err != nil {
			t.Fatal(err)
		}
		c := got.Components[0]
		if got.State != controlpb.HealthState_HEALTH_STATE_DEGRADED || got.Ready != want || got.StillWorks[0] != health.Traffic || got.Message != "dns is unhealthy" ||
			c.Name != "dns" || c.State != controlpb.HealthState_HEALTH_STATE_UNHEALTHY || !c.Since.AsTime().Equal(since.Time) || c.Measured != nil ||
			c.LastError != "no answer" || c.RoundTrip.AsDuration() != time.Millisecond {
			t.Errorf("GetHealth: %v", got)
		}
	}

	// A panic in a call is that call's failure, and nobody else's.
	h.report.Store(nil)
	_, err = w.GetHealth(within(t, patience), &controlpb.GetHealthRequest{})
	wantCode(t, err, codes.Internal)
	if _, err := w.ListBridges(within(t, patience), &controlpb.ListBridgesRequest{}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
	h.tell(health.Report{})
}

func TestLimitsAndReflection(t *testing.T) {
	w := startWorld(t, nobody)
	_, err := w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: strings.Repeat("x", 40<<20)})
	wantCode(t, err, codes.ResourceExhausted)
	_, err = w.CreateBridge(within(t, patience), &controlpb.CreateBridgeRequest{NetworkId: strings.Repeat("X", 1<<20), Labels: map[string]string{strings.Repeat("y", 1<<20): ""}})
	wantFields(t, err, codes.InvalidArgument, "network_id", "labels")

	s, err := reflectionpb.NewServerReflectionClient(w.Conn()).ServerReflectionInfo(within(t, patience))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	res, err := s.Recv()
	if err != nil || !strings.Contains(res.String(), "arca.network.NetworkControl") {
		t.Errorf("reflection: %v, %v", res, err)
	}
}

// A client that was connected before its server came back goes on.
func TestClientWaitsForServer(t *testing.T) {
	c, err := control.Dial("unix://"+filepath.Join(t.TempDir(), "nobody"), nil, grpc.WithUserAgent("test"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.ListBridges(within(t, 200*time.Millisecond), &controlpb.ListBridgesRequest{})
	wantCode(t, err, codes.DeadlineExceeded)
}
