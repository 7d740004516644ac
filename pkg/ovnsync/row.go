// Copyright The Arca Network Authors.
// SPDX-License-Identifier: Apache-2.0

package ovnsync

import (
	"github.com/ovn-kubernetes/libovsdb/model"
)

// Owner names the object that a set of northbound rows belongs to. Every row of ours
// carries it in external_ids, and has a UUID that follows from it, by which it is known
// where somebody changes those; all other rows are never touched.
type Owner struct {
	// Kind is the API kind of the object, or "Topology" for the rows that all
	// networks share.
	Kind string
	// Name is the object's name, for people that read the database.
	Name string
	// UID is the object's UID: an object that was deleted and made again
	// under the same name is another owner.
	UID string
}

// Row is one desired row of the northbound database.
type Row struct {
	// ID is the row's stable identity. It is unique within the row's table and
	// the same for create, update and delete. It is stored in external_ids.
	ID string

	// Model is a pointer to a struct of package nbdb that holds the desired
	// values. Its UUID is empty, its ExternalIDs hold only what the row needs
	// beyond the ownership keys, and its sets of references to other rows
	// (ports, acls, ...) are empty: references are declared by Members of the
	// rows they point to.
	Model model.Model

	// Columns names the columns that this row owns, by OVSDB column name.
	// Their values are enforced; all other columns are left to whoever writes
	// them, northd among them. external_ids need not be named: its keys are
	// always enforced key by key.
	Columns []string

	// Members lists the sets of other rows that this row puts a value into.
	// A row of a table that is not a root of the schema (port, acl, policy,
	// route) needs at least one or the server removes it at once.
	Members []Member

	// Needs lists rows that must be there, or be made in the same transaction,
	// for this one to be written: what protects a port before the port.
	Needs []Reference

	// References are columns that hold a reference to a row of another owner.
	// They are enforced like Columns, in which they are not named.
	References []ColumnReference
}

// Reference names a row.
type Reference struct{ Table, ID string }

// ColumnReference is a column of one reference to another row: the DHCP_Options
// of its Network in a port. It is empty while that row is not there; who makes
// it has to ask for those that refer to it to be looked at.
type ColumnReference struct {
	// Column is the column that holds it.
	Column string
	// Table and ID name the row referred to. The empty ID is no row.
	Table, ID string
}

// Member is one value in a set column of another row, which may belong to
// another owner: the port of an Attachment in Logical_Switch.ports of its
// Network, a Network's subnet in a shared Address_Set.
type Member struct {
	// Table and ID name the row that holds the set.
	Table, ID string
	// Column is the set column, for example "ports".
	Column string
	// Value is the string to put in. Empty means the UUID of the declaring row.
	Value string
}
