// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	controlpb "github.com/vas-solutus/arca-network/api/control"
	"github.com/vas-solutus/arca-network/pkg/health"
)

var healthStates = map[health.State]controlpb.HealthState{
	health.OK:        controlpb.HealthState_HEALTH_STATE_HEALTHY,
	health.Degraded:  controlpb.HealthState_HEALTH_STATE_DEGRADED,
	health.Unhealthy: controlpb.HealthState_HEALTH_STATE_UNHEALTHY,
	health.Disabled:  controlpb.HealthState_HEALTH_STATE_DISABLED,
	health.Unknown:   controlpb.HealthState_HEALTH_STATE_UNKNOWN,
}

// GetHealth tells what was last measured. It waits for nothing.
func (s *Server) GetHealth(context.Context, *controlpb.GetHealthRequest) (*controlpb.GetHealthResponse, error) {
	if s.options.Health == nil {
		return nil, status.Error(codes.Unimplemented, "nothing measures health here")
	}
	r := s.options.Health.Report()
	out := &controlpb.GetHealthResponse{
		State: healthStates[r.State], Since: timestamp(r.Since), Alive: r.Alive, Ready: r.Ready,
		Message: r.Message, StillWorks: r.StillWorks,
	}
	for _, c := range r.Components {
		out.Components = append(out.Components, &controlpb.ComponentHealth{
			Name:          c.Name,
			State:         healthStates[c.State],
			Message:       c.Message,
			Since:         timestamp(c.Since),
			Measured:      timestamp(c.Measured),
			RoundTrip:     durationpb.New(time.Duration(c.RoundTrip.Duration)),
			LastError:     c.LastError,
			LastErrorTime: timestamp(c.LastErrorTime),
			StillWorks:    c.StillWorks,
		})
	}
	return out, nil
}

func timestamp(t metav1.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t.Time)
}
