// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"strconv"
	"strings"
)

// The versions of the API that are spoken.
const (
	MinAPIVersion = "1.24"
	MaxAPIVersion = "1.56"
)

// olderThan compares versions number by number.
func olderThan(version, other string) bool {
	a, b := strings.Split(version, "."), strings.Split(other, ".")
	for i := range max(len(a), len(b)) {
		if x, y := numberAt(a, i), numberAt(b, i); x != y {
			return x < y
		}
	}
	return false
}

// numberAt is 0 for what is not there or is no number.
func numberAt(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i])
	return n
}

// checkVersion refuses versions that are not spoken.
func checkVersion(version string) error {
	if olderThan(version, MinAPIVersion) {
		return badRequest("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, MinAPIVersion)
	}
	if olderThan(MaxAPIVersion, version) {
		return badRequest("client version %s is too new. Maximum supported API version is %s", version, MaxAPIVersion)
	}
	return nil
}
