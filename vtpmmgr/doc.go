// Package vtpmmgr is the vTPM manager: it alone holds the hardware TPM, keeps
// the key and the hash of the state of each vTPM, and gives a vTPM its own.
//
// It is pure logic over a hardware TPM (google/go-tpm's transport), a disk and
// a connection that says who is at its other end. It has no build tag and runs
// anywhere. A domain's main has to do no more than
//
//	m, err := vtpmmgr.Open(vtpmmgr.Config{TPM: tpm, Disk: disk, Log: log})
//	...
//	s, err := m.Open(vtpmmgr.Peer{Domain: domid, UUID: uuid}) // per connection
//	response := s.Execute(request)
//	s.Close()
package vtpmmgr
