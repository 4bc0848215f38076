package nv

import (
	"bytes"

	"stubtpm/vtpm/tcg"
)

// makerAttributes are those of an index that the maker of the TPM provides. Its
// policy is empty, which no policy session satisfies: so nobody writes it, and nobody
// deletes it. Nor can anybody make one like it: TPM2_NV_DefineSpace sets neither
// TPMA_NV_WRITTEN nor TPMA_NV_WRITELOCKED, and what the policy does not allow does
// not set them later.
const makerAttributes = tcg.TPMANVPlatformCreate | tcg.TPMANVPolicyDelete | tcg.TPMANVPolicyWrite | tcg.TPMANVWriteDefine | tcg.TPMANVWriteLocked |
	tcg.TPMANVAuthRead | tcg.TPMANVOwnerRead | tcg.TPMANVPPRead | tcg.TPMANVNoDA | tcg.TPMANVWritten

// ByMaker reports whether x was made by Provide.
func (x *Index) ByMaker() bool {
	return x.Public.Attributes == makerAttributes && len(x.Public.AuthPolicy) == 0
}

// Provide sets an index that no command writes, locks or deletes, and everybody may
// read. One that is there is replaced. There is always room for it.
func (s *Space) Provide(h tcg.TPMHandle, data []byte) {
	if s.Indices[h] != nil {
		s.Remove(h)
	}
	s.Indices[h] = &Index{
		Public: tcg.TPMSNVPublic{NVIndex: h, NameAlg: tcg.TPMAlgSHA256, Attributes: makerAttributes, DataSize: uint16(len(data))},
		Data:   bytes.Clone(data),
	}
}
