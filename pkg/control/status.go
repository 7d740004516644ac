// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// errorDomain is the domain of the ErrorInfo that errors carry.
const errorDomain = "network.arca.dev"

// violation is a field of a request, and what is wrong with it.
type violation struct{ field, message string }

// fail makes an error with what machines want to know of it.
func fail(code codes.Code, message string, details ...protoadapt.MessageV1) error {
	s := status.New(code, message)
	if with, err := s.WithDetails(details...); err == nil {
		s = with
	}
	return s.Err()
}

// maxViolations bounds an error: it travels in a header.
const maxViolations = 20

func badRequest(violations []violation) *errdetails.BadRequest {
	b := &errdetails.BadRequest{}
	for _, v := range violations[:min(len(violations), maxViolations)] {
		b.FieldViolations = append(b.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: strings.ToValidUTF8(v.field, "?"), Description: strings.ToValidUTF8(v.message, "?"),
		})
	}
	return b
}

func joined(violations []violation) string {
	out := make([]string, 0, len(violations))
	for _, v := range violations[:min(len(violations), maxViolations)] {
		out = append(out, v.field+": "+v.message)
	}
	if n := len(violations) - len(out); n > 0 {
		out = append(out, fmt.Sprintf("and %d more", n))
	}
	return strings.ToValidUTF8(strings.Join(out, "; "), "?")
}

// invalid refuses a request, naming all fields that are wrong. Nil for none.
func invalid(violations []violation) error {
	if len(violations) == 0 {
		return nil
	}
	slices.SortStableFunc(violations, func(a, b violation) int { return strings.Compare(a.field, b.field) })
	violations = slices.Compact(violations)
	return fail(codes.InvalidArgument, joined(violations), badRequest(violations))
}

// different tells that an object exists and is not as asked.
func different(o object, violations []violation) error {
	return fail(codes.AlreadyExists,
		fmt.Sprintf("%s %s exists and differs: %s", kindOf(o), o.GetName(), joined(violations)), badRequest(violations))
}

func info(o object, c metav1.Condition) *errdetails.ErrorInfo {
	return &errdetails.ErrorInfo{Reason: c.Reason, Domain: errorDomain, Metadata: map[string]string{
		"kind": string(kindOf(o)), "name": o.GetName(), "condition": c.Type, "message": strings.ToValidUTF8(c.Message, "?"),
	}}
}

// refusalCodes are the codes of the reasons of condition Accepted. Others are
// FAILED_PRECONDITION: something else stands against the object.
var refusalCodes = map[string]codes.Code{
	v1alpha1.ReasonPoolExhausted:    codes.ResourceExhausted,
	v1alpha1.ReasonNetworkNotFound:  codes.NotFound,
	v1alpha1.ReasonAddressNotUsable: codes.InvalidArgument,
	v1alpha1.ReasonInvalid:          codes.InvalidArgument,
	v1alpha1.ReasonFamilyMismatch:   codes.InvalidArgument,
	v1alpha1.ReasonTooManyRules:     codes.ResourceExhausted,
}

// refused is the error for an object that is not accepted.
func refused(o object, c metav1.Condition, fields fieldMap) error {
	code, ok := refusalCodes[c.Reason]
	if !ok {
		code = codes.FailedPrecondition
	}
	details := []protoadapt.MessageV1{info(o, c)}
	field, rest, named := strings.Cut(c.Message, ": ")
	message := c.Message
	if named && strings.HasPrefix(field, "spec.") {
		field = fields.request(field)
		message = field + ": " + rest
		if code == codes.InvalidArgument {
			details = append(details, badRequest([]violation{{field, rest}}))
		}
	}
	return fail(code, message, details...)
}

// errStopping is why calls end when the server does.
var errStopping = errors.New("arca-network is stopping; what was written is kept and worked on: ask again")

// interrupted is the error for a call that ended before its deadline: the server
// stops, or the caller has gone. Nil if neither is so.
func interrupted(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStopping):
		return status.Error(codes.Unavailable, errStopping.Error())
	case errors.Is(cause, context.Canceled):
		return status.Error(codes.Canceled, "the call was cancelled; what was written is kept and worked on")
	}
	return nil
}

// unfinished is the error for a wait that ended before what it waited for.
func unfinished(ctx context.Context, o object, missing metav1.Condition) error {
	if err := interrupted(ctx); err != nil {
		return err
	}
	what := "nothing is known of it yet"
	if missing.Type != "" {
		what = fmt.Sprintf("%s is %s (%s): %s", missing.Type, missing.Status, missing.Reason, missing.Message)
	}
	return fail(codes.DeadlineExceeded,
		fmt.Sprintf("%s %s is kept and worked on, but did not get there in time: %s", kindOf(o), o.GetName(), what), info(o, missing))
}

// apiError turns an error of the API into one of a call.
func apiError(ctx context.Context, err error, fields fieldMap) error {
	switch {
	case err == nil:
		return nil
	case isStatus(err):
		return err
	case interrupted(ctx) != nil:
		return interrupted(ctx)
	case ctx.Err() != nil:
		// DEADLINE_EXCEEDED says that an object is kept; here nobody knows.
		return status.Error(codes.Unavailable, "the store did not answer in time; whether it was written is not known: ask again")
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		if v := causes(err, fields); len(v) > 0 {
			return invalid(v)
		}
		return status.Error(codes.InvalidArgument, err.Error())
	case apierrors.IsNotFound(err):
		return status.Error(codes.NotFound, err.Error())
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return status.Error(codes.Aborted, "somebody else changed the object at the same time: "+err.Error())
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return status.Error(codes.PermissionDenied, "the API does not let arca-network do that: "+err.Error())
	}
	// What is left is a store that does not answer, or cannot write.
	return status.Error(codes.Unavailable, "the store: "+strings.ToValidUTF8(err.Error(), "?"))
}

func isStatus(err error) bool {
	_, ok := status.FromError(err)
	return ok
}

// causes are the fields that the API has found wrong.
func causes(err error, fields fieldMap) (out []violation) {
	var s apierrors.APIStatus
	if !errors.As(err, &s) || s.Status().Details == nil {
		return nil
	}
	for _, c := range s.Status().Details.Causes {
		out = append(out, violation{fields.request(c.Field), c.Message})
	}
	return out
}
