// Package auth decides who may call the APIs, and what each caller may do. A token has a name and a role, and is kept
// only as a hash. Each RPC needs a role.
package auth

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a caller may do. A higher role may do everything that a lower one may. The zero value may do nothing.
type Role uint8

// Roles.
const (
	// Read may look at everything, and changes nothing.
	Read Role = iota + 1
	// Operate may also change the catalog and run the mesh. The guard holds its dangerous changes.
	Operate
	// Approve may also decide about changes that the guard holds.
	Approve
)

var roleNames = []string{"none", "read", "operate", "approve"}

// RoleNames returns the names of all roles, lowest first.
func RoleNames() []string { return slices.Clone(roleNames[Read:]) }

func (r Role) String() string {
	if int(r) >= len(roleNames) {
		return fmt.Sprintf("Role(%d)", uint8(r))
	}
	return roleNames[r]
}

// ParseRole returns the role of a name.
func ParseRole(name string) (Role, error) {
	i := slices.Index(roleNames, name)
	if i < int(Read) {
		return 0, fmt.Errorf("there is no role %.40q: use one of %s", name, strings.Join(RoleNames(), ", "))
	}
	return Role(i), nil
}
