// Package vnet owns the ports of this host: rows of the Open_vSwitch database,
// links, and what is configured on them. It is the only one that writes these.
// It must not know the API objects, allocate addresses or touch the northbound
// database.
package vnet
