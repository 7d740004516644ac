// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package cni

import (
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// cniArgs are the pairs of CNI_ARGS that mean something here. The names of the
// fields are those of the keys.
type cniArgs struct {
	types.CommonArgs
	IP                         types.UnmarshallableString
	MAC                        types.UnmarshallableString
	K8S_POD_NAME               types.UnmarshallableString
	K8S_POD_NAMESPACE          types.UnmarshallableString
	K8S_POD_INFRA_CONTAINER_ID types.UnmarshallableString
	K8S_POD_UID                types.UnmarshallableString
}

// loadArgs reads CNI_ARGS. A key that nobody knows is an error, unless
// IgnoreUnknown is there.
func loadArgs(raw string) (*cniArgs, error) {
	a := &cniArgs{}
	if err := types.LoadArgs(raw, a); err != nil {
		return nil, types.NewError(types.ErrInvalidEnvironmentVariables, "CNI_ARGS: "+strings.TrimPrefix(err.Error(), "ARGS: "), "")
	}
	return a, nil
}
