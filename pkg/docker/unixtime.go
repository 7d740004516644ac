// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// parseUnix reads seconds since 1970, with up to nine digits of a fraction.
func parseUnix(s string) (time.Time, error) {
	seconds, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		var number *strconv.NumError
		if errors.As(err, &number) {
			err = number.Err
		}
		return time.Time{}, fmt.Errorf("invalid seconds %q: %w", seconds, err)
	}
	const most = 20
	if len(fraction) > most {
		return time.Time{}, fmt.Errorf("invalid nanoseconds: length %d exceeds maximum %d", len(fraction), most)
	}
	for i := range len(fraction) {
		if c := fraction[i]; c < '0' || c > '9' {
			return time.Time{}, fmt.Errorf("invalid nanoseconds: invalid character %q at position %d", c, i)
		}
	}
	nsec, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	return time.Unix(sec, nsec).UTC(), err
}

// parseEventTime reads a limit of /events; none is the zero time.
func parseEventTime(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := parseUnix(s)
	if err != nil {
		return t, badRequest("invalid value for '%s': invalid timestamp %q: %v", name, s, err)
	}
	return t, nil
}
