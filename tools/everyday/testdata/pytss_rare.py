"""Commands for which tpm2-tools have no tool, by tpm2-pytss; what the TPM made
is computed here too."""
import hashlib, sys
from tpm2_pytss import *
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

A = TPMA_OBJECT
NULL = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
NULL_OBJECT = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
SHA256 = TPM2_ALG.SHA256

def refused(rc, f, *a, **k):
    try:
        f(*a, **k)
    except TSS2_Exception as e:
        assert e.rc == rc, hex(e.rc)
        return
    raise AssertionError("succeeded, but must fail")

def session(e, kind, *policies):
    s = e.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, kind, NULL, SHA256)
    for p in policies:
        p(s)
    return s

def digest(e, *policies):
    s = session(e, TPM2_SE.TRIAL, *policies)
    d = e.policy_get_digest(s)
    e.flush_context(s)
    return d

def sensitive(auth=b"", data=b""):
    return TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=auth, data=data))

def symmetric(e, prim):
    key = bytes(range(16))
    template = TPM2B_PUBLIC.parse("aes128cfb", objectAttributes=A.FIXEDTPM | A.FIXEDPARENT | A.USERWITHAUTH | A.SIGN_ENCRYPT | A.DECRYPT)
    priv, pub, *_ = e.create(prim, sensitive(data=key), template)
    h = e.load(prim, priv, pub)
    iv, text = bytes(16), b"a text that is longer than one block"
    out, iv2 = e.encrypt_decrypt(h, False, TPM2_ALG.CFB, iv, text)
    assert bytes(out) == Cipher(algorithms.AES(key), modes.CFB(iv)).encryptor().update(text)
    back, _ = e.encrypt_decrypt(h, True, TPM2_ALG.CFB, iv, out)
    assert bytes(back) == text
    e.flush_context(h)

def event(e):
    h = e.hash_sequence_start(b"", TPM2_ALG.NULL)
    e.sequence_update(h, b"first, ")
    for d in e.event_sequence_complete(ESYS_TR.PCR16, h, b"second"):
        name = {TPM2_ALG.SHA1: "sha1", TPM2_ALG.SHA256: "sha256", TPM2_ALG.SHA384: "sha384", TPM2_ALG.SHA512: "sha512"}[d.hashAlg]
        assert bytes(d) == hashlib.new(name, b"first, second").digest()
    _, _, values = e.pcr_read("sha256:16")
    assert bytes(values[0]) == hashlib.sha256(bytes(32) + hashlib.sha256(b"first, second").digest()).digest()

def move(e, prim):
    """A secret goes to one parent and on to another."""
    def parent(n):
        p, pub, *_ = e.create_primary(sensitive(data=b"", auth=n), "rsa2048" if n == b"a" else "ecc", ESYS_TR.OWNER)
        e.tr_set_auth(p, n)
        return p, pub
    a, apub = parent(b"a")
    b, bpub = parent(b"b")
    policy = lambda s: e.policy_command_code(s, TPM2_CC.Duplicate)
    template = TPM2B_PUBLIC(TPMT_PUBLIC.parse("keyedhash", objectAttributes=A.USERWITHAUTH, authPolicy=digest(e, policy)))
    priv, pub, *_ = e.create(prim, sensitive(data=b"hush"), template)
    h = e.load(prim, priv, pub)
    s = session(e, TPM2_SE.POLICY, policy)
    _, dup, seed = e.duplicate(h, a, b"", NULL_OBJECT, session1=s)
    e.flush_context(s)
    e.flush_context(h)
    dup, seed = e.rewrap(a, b, dup, pub.get_name(), seed)
    priv = e.import_(b, b"", pub, dup, seed, NULL_OBJECT)
    h = e.load(b, priv, pub)
    assert bytes(e.unseal(h)) == b"hush"
    for x in (a, b, h):
        e.flush_context(x)

def nv(e):
    policy = lambda s: e.policy_command_code(s, TPM2_CC.NV_ChangeAuth)
    attr = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.OWNERWRITE | TPMA_NV.OWNERREAD | TPMA_NV.GLOBALLOCK | TPMA_NV.NO_DA
    h = e.nv_define_space(b"old", TPM2B_NV_PUBLIC(TPMS_NV_PUBLIC(nvIndex=0x01800020, nameAlg=SHA256, attributes=attr, authPolicy=digest(e, policy), dataSize=4)))
    e.nv_write(h, b"1234")
    s = session(e, TPM2_SE.POLICY, policy)
    e.nv_change_auth(h, b"new", session1=s)
    e.tr_set_auth(h, b"old")
    refused(0x9A2, e.nv_read, h, 4)
    e.tr_set_auth(h, b"new")
    assert bytes(e.nv_read(h, 4)) == b"1234"
    e.nv_global_write_lock(ESYS_TR.OWNER)
    refused(TPM2_RC.NV_LOCKED, e.nv_write, h, b"5678")
    assert bytes(e.nv_read(h, 4)) == b"1234"

with ESAPI(sys.argv[1]) as e:
    prim, *_ = e.create_primary(TPM2B_SENSITIVE_CREATE(), "ecc")
    symmetric(e, prim)
    event(e)
    move(e, prim)
    nv(e)
    assert bytes(digest(e, e.policy_physical_presence)) == hashlib.sha256(bytes(32) + bytes.fromhex("00000187")).digest()
    e.set_algorithm_set(0)
