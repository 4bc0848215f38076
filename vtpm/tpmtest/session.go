package tpmtest

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"encoding/binary"

	"github.com/google/go-tpm/tpm2"

	"stubtpm/vtpm/tcg"
)

// An Auth is one entry of a command's authorization area: a Password or a
// Session.
type Auth interface {
	begin() // of a command: before nonces are needed
	authorize(x *exchange, i int, sent []byte) tcg.TPMSAuthCommand
}

// Auths are those of a command, in its order.
type Auths []Auth

// A Password is an authorization value that is sent as it is.
type Password string

func (Password) begin() {}

func (p Password) authorize(*exchange, int, []byte) tcg.TPMSAuthCommand {
	return tcg.TPMSAuthCommand{Handle: tcg.TPMRSPW, HMAC: []byte(p)}
}

// Entry is an entry that is sent as it is, right or wrong.
type Entry tcg.TPMSAuthCommand

func (Entry) begin() {}

func (e Entry) authorize(*exchange, int, []byte) tcg.TPMSAuthCommand { return tcg.TPMSAuthCommand(e) }

// A Session is an authorization session, as the caller knows it.
type Session struct {
	Handle     tcg.TPMHandle
	Type       tcg.TPMSE
	Hash       tcg.TPMAlgID
	Symmetric  tcg.TPMTSymDef
	Key        []byte          // sessionKey of Part 1; empty if neither bound nor salted
	NonceTPM   []byte          // the newest
	Attributes tcg.TPMASession // for the next command; continueSession is SET at the start
	Answered   tcg.TPMASession // attributes in the last response

	// AuthValue is that of the entity which the next command uses the session
	// for. A policy session proves it if PolicyAuthValue is set, and sends it
	// if PolicyPassword is, as the commands of these names ask for.
	AuthValue                       []byte
	PolicyAuthValue, PolicyPassword bool

	nonceCaller []byte
	bindName    []byte
	bindAuth    []byte
}

// SessionParams are what a session is started with. The zero value is of an
// HMAC session with SHA-256, neither bound nor salted.
type SessionParams struct {
	Type      tcg.TPMSE
	Hash      tcg.TPMAlgID   // TPM_ALG_SHA256 if zero
	Symmetric tcg.TPMTSymDef // TPM_ALG_NULL if zero
	Salt      tcg.TPMHandle  // a loaded key that decrypts, or zero
	Bind      tcg.TPMHandle  // an entity, or zero. Not PCR 0, which it would be
	BindAuth  []byte         // authorization value of Bind
}

// StartSession starts a session.
func (t *TPM) StartSession(p SessionParams) *Session {
	t.tb.Helper()
	s := &Session{
		Type: p.Type, Hash: p.Hash, Symmetric: p.Symmetric,
		Attributes: tcg.TPMASessionContinueSession, nonceCaller: make([]byte, 16),
	}
	if s.Hash == 0 {
		s.Hash = tcg.TPMAlgSHA256
	}
	if s.Symmetric.Algorithm == 0 {
		s.Symmetric.Algorithm = tcg.TPMAlgNull
	}
	s.begin()
	key, bind := tcg.TPMHandle(tcg.TPMRHNull), tcg.TPMHandle(tcg.TPMRHNull)
	var salt, sealed []byte
	if p.Salt != 0 {
		key = p.Salt
		salt, sealed = t.salt(key)
	}
	if p.Bind != 0 {
		bind = p.Bind
		s.bindName, s.bindAuth = t.Name(bind), bytes.TrimRight(p.BindAuth, "\x00")
	}
	r := t.Do(tcg.TPMCCStartAuthSession, Handles{key, bind}, nil, s.nonceCaller, sealed, p.Type, s.Symmetric, s.Hash)
	s.Handle, s.NonceTPM = r.Handle, bytes.Clone(r.Sized(tcg.MaxDigestSize))
	if p.Salt != 0 || p.Bind != 0 {
		s.Key = s.kdfa(append(bytes.Clone(s.bindAuth), salt...), "ATH", s.NonceTPM, s.nonceCaller, 8*s.hash().Size())
	}
	return s
}

// StartPolicy starts a policy session with SHA-256 and sends commands that take
// nothing but the session, such as TPM2_PolicyAuthValue.
func (t *TPM) StartPolicy(commands ...tcg.TPMCC) *Session {
	t.tb.Helper()
	s := t.StartSession(SessionParams{Type: tcg.TPMSEPolicy})
	for _, cc := range commands {
		t.Do(cc, Handles{s.Handle}, nil)
		s.PolicyAuthValue = cc == tcg.TPMCCPolicyAuthValue || s.PolicyAuthValue && cc != tcg.TPMCCPolicyPassword
		s.PolicyPassword = cc == tcg.TPMCCPolicyPassword || s.PolicyPassword && cc != tcg.TPMCCPolicyAuthValue
	}
	return s
}

// salt returns a salt and the salt encrypted for a loaded key.
func (t *TPM) salt(key tcg.TPMHandle) (salt, sealed []byte) {
	t.tb.Helper()
	r := t.Fork().Do(tcg.TPMCCReadPublic, Handles{key}, nil)
	b := r.Sized(1 << 15)
	if p := t.public(b); p.Type == tcg.TPMAlgMLKEM {
		return t.saltML(&p)
	}
	public, err := tpm2.Unmarshal[tpm2.TPMTPublic](b)
	if err != nil {
		t.tb.Fatalf("tpmtest: %v", err)
	}
	k, err := tpm2.ImportEncapsulationKey(public)
	if err == nil {
		salt, sealed, err = tpm2.CreateEncryptedSalt(rand.Reader, k)
	}
	if err != nil {
		t.tb.Fatalf("tpmtest: salt: %v", err)
	}
	return salt, sealed
}

// saltML is salt for a key of ML-KEM-768, which go-tpm does not know (Part 1,
// 47.4).
func (t *TPM) saltML(p *tcg.TPMTPublic) (salt, sealed []byte) {
	t.tb.Helper()
	k, err := mlkem.NewEncapsulationKey768(p.UniqueML)
	if err != nil {
		t.tb.Fatalf("tpmtest: salt: %v", err)
	}
	shared, sealed := k.Encapsulate()
	return tpm2.KDFa(crypto.SHA256, shared, "SECRET", sealed, p.UniqueML, 256), sealed
}

func (s *Session) begin() { rand.Read(s.nonceCaller) }

func (s *Session) authorize(x *exchange, i int, sent []byte) tcg.TPMSAuthCommand {
	c := tcg.TPMSAuthCommand{Handle: s.Handle, Nonce: s.nonceCaller, SessionAttributes: s.Attributes}
	if s.PolicyPassword {
		c.HMAC = s.AuthValue
		return c
	}
	cpHash := s.hash().New()
	cpHash.Write(binary.BigEndian.AppendUint32(nil, uint32(x.spec.Code)))
	for _, n := range x.names {
		cpHash.Write(n)
	}
	cpHash.Write(sent)
	var others [][]byte
	if i == 0 && x.spec.AuthCount() > 0 {
		others = x.otherNonces(s)
	}
	c.HMAC = s.hmac(x, i, append([][]byte{cpHash.Sum(nil), s.nonceCaller, s.NonceTPM}, others...), s.Attributes)
	return c
}

// answer checks the session's part of a response; params are the response's
// parameters as they were sent.
func (s *Session) answer(x *exchange, i int, params []byte, a tcg.TPMSAuthResponse) bool {
	s.NonceTPM, s.Answered = bytes.Clone(a.Nonce), a.SessionAttributes
	if s.Attributes.Audit() {
		defer func() { s.bindName = nil }() // the bind value is lost (Part 1, 17.1)
	}
	if s.PolicyPassword && i < x.spec.AuthCount() {
		return len(a.HMAC) == 0
	}
	rpHash := s.hash().New()
	rpHash.Write(make([]byte, 4))
	rpHash.Write(binary.BigEndian.AppendUint32(nil, uint32(x.spec.Code)))
	rpHash.Write(params)
	return hmac.Equal(a.HMAC, s.hmac(x, i, [][]byte{rpHash.Sum(nil), s.NonceTPM, s.nonceCaller}, a.SessionAttributes))
}

// hmac is that of Part 1, "HMAC Computation", for the session at place i.
func (s *Session) hmac(x *exchange, i int, parts [][]byte, attributes tcg.TPMASession) []byte {
	key := bytes.Clone(s.Key)
	if i < x.spec.AuthCount() && s.includes(x.names[i]) {
		key = append(key, s.value()...)
	}
	m := hmac.New(s.hash().New, key)
	for _, p := range parts {
		m.Write(p)
	}
	m.Write([]byte{byte(attributes)})
	return m.Sum(nil)
}

// includes reports whether the HMAC for an entity is made with its value.
func (s *Session) includes(name []byte) bool {
	if s.Type != tcg.TPMSEHMAC {
		return s.PolicyAuthValue
	}
	return s.bindName == nil || !bytes.Equal(name, s.bindName) || !bytes.Equal(s.value(), s.bindAuth)
}

func (s *Session) value() []byte { return bytes.TrimRight(s.AuthValue, "\x00") }

// crypt en- or decrypts a parameter in place.
func (s *Session) crypt(param []byte, authorizes bool, newer, older []byte, decrypt bool) {
	key := bytes.Clone(s.Key)
	if authorizes {
		key = append(key, s.value()...)
	}
	if s.Symmetric.Algorithm == tcg.TPMAlgXOR {
		for i, m := range s.kdfa(key, "XOR", newer, older, 8*len(param)) {
			param[i] ^= m
		}
		return
	}
	n := int(s.Symmetric.KeyBits)
	k := s.kdfa(key, "CFB", newer, older, n+128)
	cfb(k[:n/8], k[n/8:], param, decrypt)
}

func (s *Session) kdfa(key []byte, label string, u, v []byte, bits int) []byte {
	return tpm2.KDFa(s.hash(), key, label, u, v, bits)
}

func (s *Session) hash() crypto.Hash {
	h, err := tpm2.TPMIAlgHash(s.Hash).Hash()
	if err != nil {
		panic("tpmtest: " + err.Error())
	}
	return h
}
