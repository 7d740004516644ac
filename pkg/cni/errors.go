// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Codes of errors that CNI leaves to plugins.
const (
	// errStandsAgainst: something else stands against it: an address or a port
	// in use, an attachment that is not as asked, an overlap.
	errStandsAgainst uint = 100
	// errExhausted: no address or subnet is left.
	errExhausted uint = 101
	// errNotAsResult: CHECK found a container that is not as ADD left it.
	errNotAsResult uint = 102
)

// invalidConfig is the error for a field of the network configuration.
func invalidConfig(field, message string) error {
	return types.NewError(types.ErrInvalidNetworkConfig, field+": "+message, "")
}

// origins tell where the fields of a request came from. The first entry that
// is a field or is around it decides.
type origins []struct{ request, origin string }

func (o *origins) add(request, origin string) {
	*o = append(*o, struct{ request, origin string }{request, origin})
}

func (o origins) of(field string) string {
	for _, e := range o {
		rest, ok := strings.CutPrefix(field, e.request)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return e.origin + rest
		}
	}
	return field
}

// callError is CNI's error for one of the control API. What it was about is
// where in the configuration the fields came from.
func callError(err error, target string, from origins) error {
	s := status.Convert(err)
	message := s.Message()
	for _, d := range s.Details() {
		if b, ok := d.(*errdetails.BadRequest); ok && len(b.GetFieldViolations()) > 0 {
			var lines []string
			for _, v := range b.GetFieldViolations() {
				lines = append(lines, from.of(v.GetField())+": "+v.GetDescription())
			}
			message = strings.Join(lines, "; ")
			if s.Code() == codes.AlreadyExists {
				message = "the attachment exists and differs: " + message
			}
			break
		}
	}
	if field, rest, ok := strings.Cut(message, ": "); ok {
		message = from.of(field) + ": " + rest
	}
	switch s.Code() {
	case codes.InvalidArgument, codes.NotFound:
		return types.NewError(types.ErrInvalidNetworkConfig, message, "")
	case codes.FailedPrecondition, codes.AlreadyExists:
		return types.NewError(errStandsAgainst, message, "")
	case codes.ResourceExhausted:
		return types.NewError(errExhausted, message, "")
	case codes.DeadlineExceeded, codes.Unavailable, codes.Aborted, codes.Canceled:
		return types.NewError(types.ErrTryAgainLater, message, "arca-network at "+target)
	}
	return types.NewError(types.ErrInternal, message, s.Code().String()+" from arca-network at "+target)
}
