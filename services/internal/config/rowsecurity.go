package config

// Values of Mapping.RowSecurity.
const (
	// RowSecurityRefuse has ingestion refuse tables on which row level security applies to its role.
	RowSecurityRefuse = "refuse"
	// RowSecurityAllow says that the role's policies show it every row.
	RowSecurityAllow = "allow"
)
