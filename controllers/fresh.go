// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"github.com/vas-solutus/arca-network/api/v1alpha1"
)

// patienceForPort is how long a new attachment may take to come up before its
// status says that it is waiting. Most take some ten milliseconds, and a write
// to the API costs as much as all the rest that we do for an attachment.
const patienceForPort = time.Second

// freshObjects remembers since when attachments without a status wait for
// nothing but their port to come up. It holds those alone.
type freshObjects struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// wait tells how much longer the first status of an attachment can wait for
// its port; 0 where there is something to be told at once.
func (f *freshObjects) wait(before, now *v1alpha1.Attachment) time.Duration {
	ready := findCondition(now, v1alpha1.ConditionReady)
	if len(before.Status.Conditions) > 0 || ready == nil || ready.Reason != v1alpha1.ReasonPending ||
		!isTrue(now, v1alpha1.ConditionProgrammed) {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	since, known := f.since[now.Name]
	if !known {
		if f.since == nil {
			f.since = map[string]time.Time{}
		}
		since = time.Now()
		f.since[now.Name] = since
	}
	return max(0, time.Until(since.Add(patienceForPort)))
}

func (f *freshObjects) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.since, name)
}
