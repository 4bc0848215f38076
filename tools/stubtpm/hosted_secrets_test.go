package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"stubtpm/tools/hosted"
)

// A vault plants secrets in a TPM and knows which of them it should still have.
type vault struct {
	t       *testing.T
	r       *rand.Rand
	dir     string
	files   *hosted.StateDir
	machine *hosted.Machine
	tpm     transport.TPM

	made    int
	ownerPW string
	nv      map[tpm2.TPMHandle]string // secret data of indices
	objects map[tpm2.TPMHandle]string // secret data of persistent objects
	trace   []string
}

type machineTPM struct{ m *hosted.Machine }

func (t machineTPM) Send(b []byte) ([]byte, error) { return t.m.Execute(0, b), nil }

func (v *vault) begin() {
	var err error
	if v.files, err = hosted.OpenStateDir(v.dir, hosted.StateOptions{NoSync: true}); err != nil {
		v.t.Fatal(err)
	}
	open, err := openDevice(func(string, ...any) {}, "")
	if err != nil {
		v.t.Fatal(err)
	}
	v.machine = hosted.NewMachine(open, v.files, nil)
	v.tpm = machineTPM{v.machine}
	if err := v.machine.Start(true, hosted.StartupClear); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) end() {
	v.machine.PowerOff()
	v.files.Close()
}

func (v *vault) secret() string {
	v.made++
	return fmt.Sprintf("SECRET-%06d", v.made)
}

func (v *vault) owner() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth([]byte(v.ownerPW))}
}

// forget is what TPM2_Clear takes away.
func (v *vault) forget() {
	v.ownerPW = ""
	clear(v.nv)
	clear(v.objects)
}

// step runs one command, and records what a successful one changed.
func (v *vault) step() {
	index := tpm2.TPMHandle(0x01800000 + v.r.IntN(4))
	object := tpm2.TPMHandle(0x81000000 + v.r.IntN(3))
	var err error
	name := ""
	switch v.r.IntN(9) {
	case 0, 1:
		name, err = "NV_DefineSpace", v.define(index)
	case 2:
		name = "NV_UndefineSpace"
		var pub *tpm2.NVReadPublicResponse
		if pub, err = (tpm2.NVReadPublic{NVIndex: index}).Execute(v.tpm); err == nil {
			_, err = tpm2.NVUndefineSpace{AuthHandle: v.owner(), NVIndex: tpm2.NamedHandle{Handle: index, Name: pub.NVName}}.Execute(v.tpm)
		}
		if err == nil {
			delete(v.nv, index)
		}
	case 3, 4:
		name, err = "EvictControl", v.persist(object)
	case 5:
		name = "EvictControl of a persistent object"
		var pub *tpm2.ReadPublicResponse
		if pub, err = (tpm2.ReadPublic{ObjectHandle: object}).Execute(v.tpm); err == nil {
			_, err = tpm2.EvictControl{Auth: v.owner(), ObjectHandle: tpm2.NamedHandle{Handle: object, Name: pub.Name}, PersistentHandle: object}.Execute(v.tpm)
		}
		if err == nil {
			delete(v.objects, object)
		}
	case 6:
		name = "HierarchyChangeAuth"
		s := v.secret()
		if _, err = (tpm2.HierarchyChangeAuth{AuthHandle: v.owner(), NewAuth: tpm2.TPM2BAuth{Buffer: []byte(s)}}).Execute(v.tpm); err == nil {
			v.ownerPW = s
		}
	case 7:
		if v.r.IntN(3) > 0 {
			return
		}
		name = "Clear"
		if _, err = (tpm2.Clear{AuthHandle: tpm2.TPMRHLockout}).Execute(v.tpm); err == nil {
			v.forget()
		}
	case 8:
		name = "a new start"
		v.end()
		v.begin()
	}
	v.trace = append(v.trace, fmt.Sprintf("%s: %v", name, err))
}

func (v *vault) define(index tpm2.TPMHandle) error {
	data := bytes.Repeat([]byte(v.secret()), 1+v.r.IntN(40))
	public := tpm2.New2B(tpm2.TPMSNVPublic{NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: uint16(len(data)),
		Attributes: tpm2.TPMANV{OwnerWrite: true, OwnerRead: true, NoDA: true}})
	if _, err := (tpm2.NVDefineSpace{AuthHandle: v.owner(), PublicInfo: public}).Execute(v.tpm); err != nil {
		return err
	}
	pub, err := tpm2.NVReadPublic{NVIndex: index}.Execute(v.tpm)
	if err != nil {
		return err
	}
	_, err = tpm2.NVWrite{AuthHandle: v.owner(), NVIndex: tpm2.NamedHandle{Handle: index, Name: pub.NVName},
		Data: tpm2.TPM2BMaxNVBuffer{Buffer: data}}.Execute(v.tpm)
	if err == nil {
		v.nv[index] = string(data[:len("SECRET-000000")])
	}
	return err
}

func (v *vault) persist(object tpm2.TPMHandle) error {
	s := v.secret()
	parent, err := tpm2.CreatePrimary{PrimaryHandle: v.owner(), InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(v.tpm)
	if err != nil {
		return err
	}
	defer tpm2.FlushContext{FlushHandle: parent.ObjectHandle}.Execute(v.tpm)
	made, err := tpm2.Create{
		ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name},
		InPublic: tpm2.New2B(tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true}}),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: []byte(s)})}},
	}.Execute(v.tpm)
	if err != nil {
		return err
	}
	loaded, err := tpm2.Load{ParentHandle: tpm2.NamedHandle{Handle: parent.ObjectHandle, Name: parent.Name},
		InPrivate: made.OutPrivate, InPublic: made.OutPublic}.Execute(v.tpm)
	if err != nil {
		return err
	}
	defer tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(v.tpm)
	_, err = tpm2.EvictControl{Auth: v.owner(), ObjectHandle: tpm2.NamedHandle{Handle: loaded.ObjectHandle, Name: loaded.Name},
		PersistentHandle: object}.Execute(v.tpm)
	if err == nil {
		v.objects[object] = s
	}
	return err
}

// check looks for every secret in all files: those that the TPM should have,
// to show that it looks where they would be, and no other.
func (v *vault) check() {
	v.t.Helper()
	var all []byte
	filepath.WalkDir(v.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	want := []string{}
	if v.ownerPW != "" {
		want = append(want, v.ownerPW)
	}
	for _, m := range []map[tpm2.TPMHandle]string{v.nv, v.objects} {
		for _, s := range m {
			want = append(want, s)
		}
	}
	for _, s := range want {
		if !bytes.Contains(all, []byte(s)) {
			v.t.Fatalf("%s is in no file\nafter %q", s, v.trace)
		}
		all = bytes.ReplaceAll(all, []byte(s), nil)
	}
	if i := bytes.Index(all, []byte("SECRET-")); i >= 0 {
		v.t.Fatalf("%q was erased and is in a file\nafter %q", all[i:i+13], v.trace)
	}
}

// After a command that was answered no file of the state directory holds a
// secret that the TPM has not any more.
func TestErasedSecretsLeaveTheFiles(t *testing.T) {
	t.Parallel()
	seeds := uint64(12)
	if testing.Short() {
		seeds = 3
	}
	good := map[string]bool{}
	for seed := range seeds {
		v := &vault{t: t, r: rand.New(rand.NewPCG(seed, 2)), dir: t.TempDir(), nv: map[tpm2.TPMHandle]string{}, objects: map[tpm2.TPMHandle]string{}}
		v.begin()
		for range 80 {
			v.step()
			v.check()
		}
		v.end()
		for _, s := range v.trace {
			if name, ok := bytes.CutSuffix([]byte(s), []byte(": <nil>")); ok {
				good[string(name)] = true
			}
		}
	}
	if len(good) < 7 {
		t.Errorf("only these succeeded: %v", good)
	}
}
