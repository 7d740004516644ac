// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// probeTimeout bounds one question to a database server.
const probeTimeout = 5 * time.Second

// Probe asks a database server for its databases (RFC 7047, 4.1.1) and returns
// an error where it does not answer.
func Probe(ctx context.Context, endpoint string) error {
	_, err := databases(ctx, endpoint)
	return err
}

// databases lists the databases of a server.
func databases(ctx context.Context, endpoint string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	scheme, address, ok := strings.Cut(endpoint, ":")
	if !ok || !slices.Contains([]string{"unix", "tcp"}, scheme) {
		return nil, fmt.Errorf("endpoint %q: must be unix:PATH or tcp:HOST:PORT", endpoint)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, scheme, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte(`{"method":"list_dbs","params":[],"id":1}`)); err != nil {
		return nil, err
	}
	var reply struct {
		Result []string
		Error  any
	}
	if err := json.NewDecoder(conn).Decode(&reply); err != nil {
		return nil, err
	}
	if reply.Error != nil {
		return nil, errors.New(fmt.Sprint(reply.Error))
	}
	return reply.Result, nil
}
