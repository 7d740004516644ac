// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/testr"

	"github.com/vas-solutus/arca-network/internal/dockertest"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// changing is a list of networks that changes.
type changing struct {
	sync.Mutex
	list    list
	renamed []string
}

func (c *changing) Networks(context.Context) ([]Network, error) {
	c.Lock()
	defer c.Unlock()
	return slices.Clone(c.list), nil
}

func (c *changing) Candidates(ctx context.Context, _ string) ([]Network, error) {
	return c.Networks(ctx)
}

func (c *changing) Ports(context.Context, []string) (map[string][]Port, error) { return nil, nil }

func (c *changing) Rename(_ context.Context, on Network, _, name string) error {
	c.Lock()
	defer c.Unlock()
	c.renamed = append(c.renamed, on.Name+" "+name)
	return nil
}

func (c *changing) names() string {
	c.Lock()
	defer c.Unlock()
	return strings.Join(c.renamed, ", ")
}

func (c *changing) remove(name string) {
	c.Lock()
	defer c.Unlock()
	c.list = slices.DeleteFunc(c.list, func(n Network) bool { return n.Name == name })
}

// ownEventsOf serves nothing but an event for each network.
func ownEventsOf(c *changing) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path[len(r.URL.Path)-len("/events"):] != "/events" {
			http.NotFound(w, r)
			return
		}
		networks, _ := c.Networks(r.Context())
		for _, n := range networks {
			fmt.Fprintf(w, `{"Type":"network","Action":"create","Actor":{"ID":%q,"Attributes":{"name":%q}},"timeNano":1}`, n.ID, n.Name)
			fmt.Fprintln(w)
		}
	})
}

// rig is a real engine with a proxy in front of it. Shadows are of the engine's
// own driver bridge: what is tested is how they are used.
type rig struct {
	*dockertest.Engine
	proxy    *Engine
	networks *changing
	way      *severed
	host     string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Engine: dockertest.Start(t, dockertest.Options{}), networks: &changing{list: slices.Clone(testNetworks)}}
	// The engine's own bridge has that of bridge.
	r.networks.list[0].Subnets = []Subnet{{"10.87.0.0/24", "10.87.0.1"}}
	var err error
	r.proxy, err = New(Options{Address: r.Host, Networks: r.networks, Predefined: testPredefined, Log: testr.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.proxy.Close)
	r.proxy.driver, r.proxy.ipam = "bridge", "default"
	r.way = &severed{RoundTripper: r.proxy.client.Transport}
	r.way.steps.Store(never)
	r.proxy.client.Transport = r.way
	r.host = "unix://" + serve(t, r.proxy.InFrontOf(ownEventsOf(r.networks)))
	return r
}

// try runs a shell script whose docker is the engine's client in front of the proxy.
func (r *rig) try(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-euc", script)
	var err error
	if cmd.Env, err = r.ClientEnvironment(r.host); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimRight(string(out), "\n"), err
}

func (r *rig) sh(t *testing.T, script string) string {
	t.Helper()
	out, err := r.try(t, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// says fails the test where a script does not say exactly this.
func (r *rig) says(t *testing.T, script, want string) {
	t.Helper()
	if got := r.sh(t, script); got != want {
		t.Errorf("%s says\n%s\nwant\n%s", script, got, want)
	}
}

// Docker's own client does with a real engine behind the proxy what it does without.
func TestDockerClient(t *testing.T) {
	r := newRig(t)
	const run = "docker run --rm arca-test "
	t.Run("streams", func(t *testing.T) {
		r.says(t, run+"echo hello", "hello")
		r.says(t, "printf abc | docker run -i --rm arca-test sh -c 'cat; echo; echo end'", "abc\nend")
		r.says(t, run+"sh -c 'exit 7' || echo $?", "7")
		r.sh(t, "docker run -d --name streams arca-test sh -c 'echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two; exec sleep 1000'")
		r.says(t, "printf abc | docker exec -i streams sh -c 'cat; echo; echo end'", "abc\nend")
		r.says(t, "docker exec streams sh -c 'exit 5' || echo $?", "5")
		// The second line is only written when the first has been read.
		r.says(t, `docker logs -f streams | { read a; docker exec streams touch /go; read b; echo $a $b; docker kill streams >/dev/null; }`, "one two")
		r.says(t, "docker run -d -i --name attached arca-test sh -c 'read a; echo got $a' >/dev/null; { echo x; docker wait attached >&2; } 2>/dev/null | docker attach attached", "got x")
		r.sh(t, "docker rm -f streams attached")
	})
	t.Run("uploads", func(t *testing.T) {
		r.sh(t, "docker run --name big arca-test sh -c 'head -c 50000000 /dev/urandom >/big; sha256sum /big >/sum'")
		r.sh(t, "docker commit big big:1; docker rm big")
		r.sh(t, "docker save big:1 >$DOCKER_CONFIG/big.tar; docker rmi big:1; docker load -i $DOCKER_CONFIG/big.tar")
		r.says(t, "docker save big:1 | docker load -q", "Loaded image: big:1")
		r.says(t, "docker run --rm big:1 sha256sum -c /sum", "/big: OK")
		r.says(t, `docker run -d --name files big:1 sleep 1000 >/dev/null
			docker cp -q files:/sum $DOCKER_CONFIG/sum; docker cp -q $DOCKER_CONFIG/big.tar files:/again
			docker exec files sha256sum /again | cut -d' ' -f1; docker rm -f files >/dev/null`, r.sh(t, "sha256sum $DOCKER_CONFIG/big.tar | cut -d' ' -f1"))
		r.sh(t, `mkdir -p $DOCKER_CONFIG/context; cd $DOCKER_CONFIG/context; head -c 20000000 /dev/urandom >data
			printf 'FROM arca-test\nCOPY data /data\nRUN sha256sum /data >/sum\n' >Dockerfile
			DOCKER_BUILDKIT=0 docker build -t built . 2>&1`)
		r.says(t, "docker run --rm built cat /sum | cut -d' ' -f1", r.sh(t, "sha256sum $DOCKER_CONFIG/context/data | cut -d' ' -f1"))
	})
}

// A container's networks are ours, in all that is told of it.
func TestNetworksAreOurs(t *testing.T) {
	r := newRig(t)
	web, db := r.networks.list[1], r.networks.list[2]
	inspect := func(what string) string { return "docker inspect -f '{{" + what + "}}' c1" }

	r.says(t, "docker run -d --name c1 --network web --ip 10.88.0.9 --mac-address 02:42:00:00:00:09 --network-alias a1 -p 8080:80 arca-test sleep 1000 >/dev/null; docker ps -q --no-trunc --filter network=web | wc -l", "1")
	r.says(t, inspect(".HostConfig.NetworkMode"), "web")
	r.says(t, inspect("range $n, $e := .NetworkSettings.Networks}}{{$n}} {{$e.NetworkID}} {{$e.IPAddress}} {{$e.MacAddress}} {{$e.Aliases}} {{$e.DriverOpts}}{{end"),
		"web "+web.ID+" 10.88.0.9 02:42:00:00:00:09 [a1] map[]")
	r.says(t, inspect(".HostConfig.DNS"), "[]")
	r.says(t, "docker ps --format '{{.Names}} {{.Networks}}'", "c1 web")
	if got := r.Docker(t, "inspect", "-f", "{{.HostConfig.NetworkMode}}", "c1"); got != shadowName(web.ID) {
		t.Errorf("in the engine it is on %s", got)
	}
	r.says(t, "docker run --rm --network "+db.ID[:6]+" arca-test sh -c 'ip -4 -o addr show eth0 | wc -l'", "1")
	r.says(t, "docker run --rm --network none arca-test ls /sys/class/net", "lo")
	r.says(t, "docker run --rm --network container:c1 arca-test sh -c 'ip -4 -o addr show eth0' | grep -o 10.88.0.9", "10.88.0.9")
	r.says(t, "docker run --rm --network web arca-test ping -c 1 a1 | grep -c ' 0% packet loss'", "1")
	// The driver is told whose endpoint it is, and of a new name.
	driverOpt := func(key, want string) {
		t.Helper()
		if got := r.Docker(t, "inspect", "-f", `{{index (index .NetworkSettings.Networks "`+shadowName(web.ID)+`").DriverOpts "network.arca.dev/`+key+`"}}`, "c1"); got != want {
			t.Errorf("the driver is told of %s %q, want %q", key, got, want)
		}
	}
	driverOpt("container-id", r.sh(t, "docker inspect -f '{{.Id}}' c1"))
	driverOpt("hostname", "c1")
	driverOpt("aliases", "a1")
	r.sh(t, "docker stop -t 0 c1; docker rename c1 c9; docker start c9; docker rename c9 c1")
	driverOpt("hostname", "c9")
	if got := r.networks.names(); got != "web c1" { // not while it did not run
		t.Errorf("the networks heard of new names %q, want that of a running container", got)
	}
	r.says(t, inspect("range $n, $e := .NetworkSettings.Networks}}{{$e.IPAddress}} {{$e.MacAddress}} {{$e.Aliases}}{{end"), "10.88.0.9 02:42:00:00:00:09 [a1]")
	r.says(t, "docker rename c1 c2; docker rename c2 c1; docker restart -t 0 c1; docker ps --format '{{.Names}} {{.Networks}}'", "c1\nc1 web")

	t.Run("connected", func(t *testing.T) {
		r.sh(t, "docker network connect --alias a2 db c1")
		r.says(t, "docker exec c1 ls /sys/class/net", "eth0\neth1\nlo")
		r.says(t, inspect(`.NetworkSettings.Networks.db.NetworkID`), db.ID)
		if out, err := r.try(t, "docker network connect db c1"); err == nil || !strings.Contains(out, "endpoint with name c1 already exists in network db") {
			t.Errorf("connecting again: %s %v", out, err)
		}
		r.sh(t, "docker network disconnect db c1")
		r.says(t, "docker exec c1 ls /sys/class/net", "eth0\nlo")
		if out, err := r.try(t, "docker network disconnect db c1"); err == nil || !strings.Contains(out, "is not connected to network db") {
			t.Errorf("disconnecting again: %s %v", out, err)
		}
	})
	t.Run("no such network", func(t *testing.T) {
		out, err := r.try(t, "docker run --name lost --network nope arca-test true")
		if err == nil || !strings.Contains(out, "network nope not found") {
			t.Errorf("%s %v", out, err)
		}
		r.sh(t, "docker rm lost")
		// The engine's own networks are none of ours.
		r.Docker(t, "network", "create", "own")
		if out, err := r.try(t, "docker run --network own arca-test true"); err == nil || !strings.Contains(out, "network own not found") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("the engine lost its network", func(t *testing.T) {
		r.sh(t, "docker stop -t 0 c1")
		r.Docker(t, "network", "rm", shadowName(web.ID))
		r.says(t, "docker start c1; docker exec c1 ip -4 -o addr show eth0 | grep -o 10.88.0.9", "c1\n10.88.0.9")
	})
	t.Run("our network is gone", func(t *testing.T) {
		r.sh(t, "docker stop -t 0 c1")
		r.networks.remove("web")
		if out, err := r.try(t, "docker start c1"); err == nil || !strings.Contains(out, "failed to set up container networking: network "+web.ID+" not found") {
			t.Errorf("%s %v", out, err)
		}
		names := func() string { return r.Docker(t, "network", "ls", "--format", "{{.Name}}") }
		if err := r.proxy.Sweep(t.Context()); err != nil || !strings.Contains(names(), shadowName(web.ID)) {
			t.Errorf("a shadow with a container was removed: %v, left are %s", err, names())
		}
		r.says(t, "docker ps -a --format '{{.Names}} {{.Networks}}'", "c1 web")
		r.sh(t, "docker rm c1")
		if err := r.proxy.Sweep(t.Context()); err != nil || strings.Contains(names(), shadowName(web.ID)) || !strings.Contains(names(), shadowName(db.ID)) {
			t.Errorf("left are %s, %v", names(), err)
		}
	})
	r.says(t, "docker events --since 1h --until $(date +%s) --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}' | grep -c -e '^network.*arca-' || true", "0")
	r.says(t, "docker events --since 1h --until $(date +%s) --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}' | grep -e 'start c1' -e 'create db' | sort -u", "container restart c1\ncontainer start c1\nnetwork create db")
}
