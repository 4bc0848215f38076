"""ESAPI and FAPI of tpm2-pytss; what the TPM made is checked with python's
cryptography or by computation."""
import hashlib, json, os, sys
from tpm2_pytss import *
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

SHA256 = TPM2_ALG.SHA256
NULL = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
CFB = TPMT_SYM_DEF(algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB))

A = TPMA_OBJECT
SIGNER = TPM2B_PUBLIC.parse("ecc:ecdsa", objectAttributes=A.FIXEDTPM | A.FIXEDPARENT | A.SENSITIVEDATAORIGIN | A.USERWITHAUTH | A.SIGN_ENCRYPT)

def refused(rc, f, *a, **k):
    try:
        f(*a, **k)
    except TSS2_Exception as e:
        assert e.rc == rc, hex(e.rc)
        return
    raise AssertionError("succeeded, but must fail")

def public(pub):
    return serialization.load_pem_public_key(pub.to_pem())

def der(sig):
    s = sig.signature.ecdsa
    return utils.encode_dss_signature(int.from_bytes(bytes(s.signatureR), "big"), int.from_bytes(bytes(s.signatureS), "big"))

def esapi(tcti):
    with ESAPI(tcti) as e:
        prim, _, _, _, _ = e.create_primary(TPM2B_SENSITIVE_CREATE(), "ecc")
        # A salted session that encrypts both ways signs all that follows.
        hmac = e.start_auth_session(prim, ESYS_TR.NONE, TPM2_SE.HMAC, CFB, SHA256)
        e.trsess_set_attributes(hmac, TPMA_SESSION.CONTINUESESSION | TPMA_SESSION.DECRYPT | TPMA_SESSION.ENCRYPT)
        priv, pub, _, _, _ = e.create(prim, TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=b"pw")), SIGNER, session1=hmac)
        key = e.load(prim, priv, pub, session1=hmac)
        e.tr_set_auth(key, b"pw")
        digest = hashlib.sha256(b"message").digest()
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.ECDSA)
        scheme.details.any.hashAlg = SHA256
        ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        e.trsess_set_attributes(hmac, TPMA_SESSION.CONTINUESESSION | TPMA_SESSION.DECRYPT)
        sig = e.sign(key, digest, scheme, ticket, session1=hmac)
        public(pub).verify(der(sig), b"message", ec.ECDSA(hashes.SHA256()))
        e.verify_signature(key, digest, sig)
        # A quote.
        e.trsess_set_attributes(hmac, TPMA_SESSION.CONTINUESESSION | TPMA_SESSION.ENCRYPT)
        att, sig = e.quote(key, "sha256:0,16", b"nonce", scheme, session1=hmac)
        public(pub).verify(der(sig), bytes(att), ec.ECDSA(hashes.SHA256()))
        t, _ = TPMS_ATTEST.unmarshal(bytes(att))
        assert bytes(t.extraData) == b"nonce"
        assert bytes(t.attested.quote.pcrDigest) == hashlib.sha256(bytes(64)).digest()
        # NV: an ordinary index and a counter.
        attr = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA
        def define(n, extra, size):
            return e.nv_define_space(b"nv", TPM2B_NV_PUBLIC(TPMS_NV_PUBLIC(nvIndex=n, nameAlg=SHA256, attributes=attr | extra, dataSize=size)))
        nv = define(0x01800010, 0, 32)
        e.nv_write(nv, b"0123456789abcdef", offset=4)
        assert bytes(e.nv_read(nv, 16, 4)) == b"0123456789abcdef"
        refused(TPM2_RC.NV_RANGE, e.nv_write, nv, b"too long", offset=30)
        counter = define(0x01800011, TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT, 8)
        e.nv_increment(counter)
        one = int.from_bytes(bytes(e.nv_read(counter, 8)), "big")
        e.nv_increment(counter)
        assert int.from_bytes(bytes(e.nv_read(counter, 8)), "big") == one + 1
        e.tr_set_auth(nv, b"wrong")
        refused(0x9A2, e.nv_read, nv, 16, 4)
        e.nv_undefine_space(nv)
        # A secret under PCR 16 or a password.
        def session(kind):
            return e.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, kind, NULL, SHA256)
        def digest_of(f):
            s = session(TPM2_SE.TRIAL)
            f(s)
            d = e.policy_get_digest(s)
            e.flush_context(s)
            return d
        pcr = digest_of(lambda s: e.policy_pcr(s, b"", "sha256:16"))
        auth = digest_of(lambda s: e.policy_auth_value(s))
        either = digest_of(lambda s: e.policy_or(s, TPML_DIGEST([pcr, auth])))
        assert bytes(either) == hashlib.sha256(bytes(32) + bytes.fromhex("00000171") + bytes(pcr) + bytes(auth)).digest()
        templ = TPM2B_PUBLIC(TPMT_PUBLIC.parse("keyedhash", objectAttributes=A.FIXEDTPM | A.FIXEDPARENT, authPolicy=either))
        priv, pub, _, _, _ = e.create(prim, TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(userAuth=b"pw", data=b"hush")), templ)
        sealed = e.load(prim, priv, pub)
        e.tr_set_auth(sealed, b"pw")
        def unseal(f):
            s = session(TPM2_SE.POLICY)
            try:
                f(s)
                e.policy_or(s, TPML_DIGEST([pcr, auth]))
                return bytes(e.unseal(sealed, session1=s))
            finally:
                e.flush_context(s)
        assert unseal(lambda s: e.policy_pcr(s, b"", "sha256:16")) == b"hush"
        e.pcr_extend(ESYS_TR.PCR16, TPML_DIGEST_VALUES([TPMT_HA(hashAlg=SHA256, digest=TPMU_HA(sha256=digest))]))
        refused(0x1c4, unseal, lambda s: e.policy_pcr(s, b"", "sha256:16"))
        assert unseal(lambda s: e.policy_auth_value(s)) == b"hush"
        # Credential activation.
        ek, ekpub, _, _, _ = e.create_primary(TPM2B_SENSITIVE_CREATE(), "rsa2048", ESYS_TR.ENDORSEMENT)
        blob, secret = e.make_credential(ek, b"credential", pub.get_name())
        assert bytes(e.activate_credential(sealed, ek, blob, secret)) == b"credential"
        for h in (hmac, key, sealed, ek, prim):
            e.flush_context(h)

def fapi(tcti):
    here = os.getcwd()
    conf = {"profile_name": "P_ECCP256SHA256", "profile_dir": "/etc/tpm2-tss/fapi-profiles/",
            "user_dir": here + "/user", "system_dir": here + "/system", "log_dir": here + "/log",
            "tcti": tcti, "system_pcrs": [], "ek_cert_less": "yes"}
    for d in ("user", "system", "log"):
        os.makedirs(d)
    json.dump(conf, open("fapi.json", "w"))
    os.environ["TSS2_FAPICONF"] = here + "/fapi.json"
    with FAPI() as f:
        f.provision()
        f.create_key("HS/SRK/sig", "sign,noDa")
        sig, pem, _ = f.sign("HS/SRK/sig", hashlib.sha256(b"message").digest())
        serialization.load_pem_public_key(pem if isinstance(pem, bytes) else pem.encode()).verify(sig, b"message", ec.ECDSA(hashes.SHA256()))
        f.create_seal("HS/SRK/seal", data=b"hush")
        assert f.unseal("HS/SRK/seal") == b"hush"
        f.create_nv("/nv/Owner/x", 8, "noDa")
        f.nv_write("/nv/Owner/x", b"12345678")
        data, _ = f.nv_read("/nv/Owner/x")
        assert data == b"12345678"
        f.create_key("HS/SRK/att", "sign,restricted,noDa")
        info, sig, log, cert = f.quote("HS/SRK/att", [16], quote_type="TPM-Quote", qualifying_data=b"nonce")
        f.verify_quote("HS/SRK/att", sig, info, qualifying_data=b"nonce")
        assert len(f.get_random(16)) == 16
        assert json.loads(f.get_info())["capabilities"]

tcti = sys.argv[1]
esapi(tcti)
fapi(tcti)
