// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"runtime/debug"
	"strings"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/util/compatibility"
	basecompatibility "k8s.io/component-base/compatibility"
)

// versioned reports the release of the API server that is compiled in. The
// library knows it only from linker flags, and says something that kubectl
// cannot parse without them.
type versioned struct {
	basecompatibility.EffectiveVersion
	release string
}

func (v versioned) Info() *apimachineryversion.Info {
	info := v.EffectiveVersion.Info()
	if info == nil {
		info = &apimachineryversion.Info{}
	}
	copied := *info
	if strings.HasPrefix(copied.GitVersion, "v0.0.0") || copied.GitVersion == "" {
		copied.GitVersion = v.release
		copied.GitCommit, copied.BuildDate = "", ""
	}
	parts := strings.SplitN(strings.TrimPrefix(copied.GitVersion, "v"), ".", 3)
	if len(parts) == 3 {
		copied.Major, copied.Minor = parts[0], parts[1]
	}
	return &copied
}

func effectiveVersion() basecompatibility.EffectiveVersion {
	v := versioned{EffectiveVersion: compatibility.DefaultBuildEffectiveVersion()}
	v.release = "v" + v.BinaryVersion().String() + ".0"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			// Release v1.37.2 of Kubernetes is v0.37.2 of its libraries.
			if rest, ok := strings.CutPrefix(module.Version, "v0."); ok && module.Path == "k8s.io/apiextensions-apiserver" {
				v.release = "v1." + rest
			}
		}
	}
	return v
}
