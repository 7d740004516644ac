// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// apiError is an error with the status that the engine answers it with.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return e.message }

func errorf(status int, format string, args ...any) error {
	return &apiError{status, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return errorf(http.StatusBadRequest, format, args...)
}

func forbidden(format string, args ...any) error {
	return errorf(http.StatusForbidden, format, args...)
}

func noSuchNetwork(term string) error {
	return errorf(http.StatusNotFound, "network %s not found", term)
}

// statusOf is the status of an error, and the message to answer.
func statusOf(err error) (int, string) {
	var e *apiError
	if errors.As(err, &e) {
		return e.status, e.message
	}
	if s, ok := status.FromError(err); ok {
		return statusOfCode(s.Code()), s.Message()
	}
	return http.StatusInternalServerError, err.Error()
}

func statusOfCode(c codes.Code) int {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists:
		return http.StatusConflict
	case codes.PermissionDenied, codes.FailedPrecondition:
		return http.StatusForbidden
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// reasonOf is the condition's reason that an error of the control API carries.
func reasonOf(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return ""
}

// joinErrors lists errors as the engine does: one as it is, several with bullets.
func joinErrors(errs []error) string {
	if len(errs) == 1 {
		return strings.TrimSpace(errs[0].Error())
	}
	lines := make([]string, 0, len(errs))
	for _, e := range errs {
		lines = append(lines, strings.ReplaceAll(e.Error(), "\n", "\n\t"))
	}
	return "* " + strings.Join(lines, "\n* ")
}
