// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
)

// An engine gives a network IPv4 unless it is told not to, and asks the driver for
// a subnet that an IPv6-only network has not. One that cannot be told is not asked.
func TestShadowOfFamilies(t *testing.T) {
	id := "e5" + strings.Repeat("5", 62)
	for _, c := range []struct {
		version    string
		ipv4, ipv6 bool
		want       string // what is said of IPv4, or of the refusal
	}{
		{"1.56", true, false, "<nil>"},
		{"1.56", true, true, "<nil>"},
		{"1.56", false, false, "<nil>"},
		{"1.56", false, true, "false"},
		{"1.48", false, true, "false"},
		{"1.47", true, true, "<nil>"},
		{"1.47", false, true, "which the engine cannot do: it speaks version 1.47"},
	} {
		var asked map[string]any
		socket := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", c.version)
			switch {
			case r.Method == http.MethodPost:
				if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
					t.Error(err)
				}
				w.WriteHeader(http.StatusCreated)
			case asked == nil:
				http.Error(w, `{"message":"no such network"}`, http.StatusNotFound)
			default:
				_ = json.NewEncoder(w).Encode(map[string]any{"Id": "f1", "Name": asked["Name"], "Options": asked["Options"], "Labels": asked["Labels"]})
			}
		}))
		e, err := New(Options{Address: socket, Log: testr.New(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		_, err = e.shadowOf(t.Context(), Network{ID: id, Name: "six", Object: "o", EnableIPv4: c.ipv4, EnableIPv6: c.ipv6})
		got := fmt.Sprint(asked["EnableIPv4"])
		var refusal *Error
		if errors.As(err, &refusal) && refusal.Status == http.StatusBadRequest && asked == nil {
			got = refusal.Message
		} else if err != nil {
			t.Fatal(err)
		}
		if got != c.want && !(asked == nil && strings.Contains(got, c.want)) {
			t.Errorf("API %s, IPv4 %t, IPv6 %t: %s, want %s", c.version, c.ipv4, c.ipv6, got, c.want)
		}
	}
}
