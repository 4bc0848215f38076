package vtpmmgr

import "stubtpm/vtpmmgr/proto"

// A UUID names a vTPM.
type UUID = proto.UUID

// ParseUUID takes the usual 36 characters, or 32 without dashes.
func ParseUUID(s string) (UUID, error) { return proto.ParseUUID(s) }
