package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestChangeKeys replaces the administrator's key by itself, and, where it is
// lost, by the operator's word; a tenant is limited, and its vTPM has a profile.
func TestChangeKeys(t *testing.T) {
	t.Parallel()
	operator, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := newSite(t, &operator.PublicKey)
	der, err := x509.MarshalPKCS8PrivateKey(operator)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.file("operator"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"second", "third", "host"} {
		h.do("keygen", h.file(name))
	}
	h.refused(exitUsage, "want admin or host", "set-key", "approver", h.file("second"))
	h.do("set-key", "host", h.file("host"))
	h.do("set-key", "admin", h.file("second"))
	h.refused(exitRefused, "not signed by", "list")
	h.do("-key", h.file("second"), "list")

	// The second key is lost: what is known of it is what status says.
	var s statusView
	h.json(&s, "-key", h.file("second"), "status")
	h.refused(exitUsage, "are required", "recover-admin", "sign", h.file("third"), "--operator-key", h.file("operator"))
	h.do("recover-admin", "sign", h.file("third"), "--operator-key", h.file("operator"), "--manager", s.Manager, "--admin", s.AdminKey, "--admin-number", fmt.Sprint(s.AdminNumber), "-o", h.file("word"))
	h.refused(exitRefused, "not signed by", "-key", h.file("host"), "recover-admin", "send", h.file("word"))
	h.do("-key", h.file("third"), "recover-admin", "send", h.file("word"))
	h.do("-key", h.file("third"), "set-key", "admin", h.file("second"))
	h.refused(exitRefused, "not signed by", "-key", h.file("third"), "recover-admin", "send", h.file("word")) // it was for one change
	h.do("-key", h.file("second"), "set-key", "admin", h.file("third"))
	h.refused(exitRefused, "not signed by", "-key", h.file("second"), "list")
	h.do("-key", h.file("third"), "list")

	h.do("-key", h.file("third"), "group", "create", "tenant")
	h.refused(exitUsage, "not a number", "-key", h.file("third"), "group", "quota", "tenant", "many")
	h.do("-key", h.file("third"), "group", "quota", "tenant", "1")
	h.do("-key", h.file("third"), "enroll", testUUID, "--group", "tenant", "--profile", "full")
	h.refused(exitRefused, "quota of vTPMs is used up", "-key", h.file("third"), "enroll", strings.Replace(testUUID, "1", "2", 1), "--group", "tenant")
	h.refused(exitFail, "nor one of the profiles", "-key", h.file("third"), "amend", testUUID, "--profile", "fast")
	if out := h.do("-key", h.file("third"), "audit-log", "show"); !strings.Contains(out, "administrator recovered") {
		t.Errorf("audit-log show:\n%s", out)
	}
}
