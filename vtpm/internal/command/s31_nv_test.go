package command_test

import (
	"stubtpm/vtpm/tcg"
	"stubtpm/vtpm/tpmtest"
)

// index is the public area of an NV index, which dictionary attack protection is
// not for.
func index(size int, attributes tcg.TPMANV) tcg.TPMSNVPublic {
	return tcg.TPMSNVPublic{NVIndex: 0x01800001, NameAlg: tcg.TPMAlgSHA256, DataSize: uint16(size), Attributes: attributes | tcg.TPMANVNoDA}
}

// define defines an index whose authorization value is empty.
func define(tpm *tpmtest.TPM, by tcg.TPMHandle, p tcg.TPMSNVPublic) tcg.TPMHandle {
	tpm.Do(tcg.TPMCCNVDefineSpace, handles{by}, nil, nil, p)
	return p.NVIndex
}
