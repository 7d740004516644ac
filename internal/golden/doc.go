// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

// Package golden owns tests by testdata/*.txtar: objects as YAML, and what must
// become of them as text, which `go test -update` writes. It must not be used
// outside tests.
package golden
