// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

// The columns that rows of ours own, by table: all that decide whether, where and how
// packets go, also those that stay empty, for somebody else may fill them. Left to
// others are the columns that ovn-northd fills (up, dynamic_addresses, status), those
// that only watch (mirror_rules, sample_new, label) and those that only tune
// (other_config, copp, fair).
var (
	switchColumns     = []string{"name"}
	switchPortColumns = []string{
		"name", "type", "addresses", "port_security", "options", "enabled", "parent_name", "tag", "tag_request", "ha_chassis_group",
	}
	portGroupColumns  = []string{"name"}
	addressSetColumns = []string{"name"}
	aclColumns        = []string{"direction", "priority", "match", "action", "tier", "options", "log", "name", "severity", "meter"}
	qosColumns        = []string{"direction", "priority", "match", "action", "bandwidth"}
	dhcpColumns       = []string{"cidr", "options"}

	routerColumns     = []string{"name", "options", "enabled"}
	routerPortColumns = []string{
		"name", "mac", "networks", "options", "enabled", "peer", "ha_chassis_group", "dhcp_relay", "ipv6_ra_configs",
	}
	gatewayChassisColumns = []string{"name", "chassis_name", "priority"}
	policyColumns         = []string{
		"priority", "match", "action", "options", "nexthop", "nexthops", "bfd_sessions", "chain", "jump_chain",
	}
	routeColumns = []string{
		"ip_prefix", "nexthop", "options", "policy", "output_port", "route_table", "bfd", "selection_fields",
	}
	loadBalancerColumns = []string{"name", "protocol", "vips", "options", "health_check", "ip_port_mappings", "selection_fields"}
)
