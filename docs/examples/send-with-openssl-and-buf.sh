#!/usr/bin/env bash
# Send one document with nothing but this hub's protos, OpenSSL 3 and `buf curl`.
#
#   send-with-openssl-and-buf.sh PROFILE RECIPIENT FILE OUT
#
# PROFILE is a folder with profile.toml and the keys and certificates it names, as
# `lienthong init` makes them. OUT is a folder for everything made on the way: keep it, the
# receipt is in it. HUB overrides the profile's host and port. BUF names the buf program.
# Try it again with the same OUT, and the very same bytes are sent again: the answer is the
# same, and nothing is sent twice.
set -euo pipefail

profile=$1 recipient=$2 file=$3 out=$4
buf=${BUF:-buf}
protos=${PROTOS:-$(cd "$(dirname "$0")/../../protos" && pwd)}

setting() { sed -n "s/^$1 = \"\(.*\)\"\$/\1/p" "$profile/profile.toml"; }
hub=${HUB:-$(setting target)}
base64_of() { openssl base64 -A -in "$1"; }
sha256_of() { openssl dgst -sha256 -r "$1" | cut -d' ' -f1; }
size_of() { echo $(($(wc -c < "$1"))); }

mkdir -p "$out"
cd "$out"
[[ $file = /* ]] || file=$OLDPWD/$file
[[ $profile = /* ]] || profile=$OLDPWD/$profile

# 1. Write the payload. Once: what was signed must not change afterwards.
if [[ ! -e payload.json ]]; then
  random=$(openssl rand -hex 16)
  request_id=${random:0:8}-${random:8:4}-4${random:13:3}-8${random:17:3}-${random:20:12}
  cat > payload.json.new <<END
{
  "v": 1,
  "hub": "$(setting hub)",
  "agency": "$(setting agency)",
  "request_id": "$request_id",
  "nonce": "$(openssl rand -base64 16)",
  "created_at": "$(TZ=UTC-7 date +%Y-%m-%dT%H:%M:%S)+07:00",
  "recipients": ["$recipient"],
  "action": "new",
  "document": {
    "number": "125",
    "notation": "UBND-VP",
    "type": {"name": "Công văn"},
    "secrecy": "none",
    "subject": "V/v gửi văn bản chỉ với openssl và buf",
    "issued_on": "$(TZ=UTC-7 date +%Y-%m-%d)",
    "priority": "normal",
    "language": "vi",
    "attachments": [
      {
        "name": "$(basename "$file")",
        "media_type": "application/octet-stream",
        "size": $(size_of "$file"),
        "sha256": "$(sha256_of "$file")"
      }
    ]
  }
}
END
  mv payload.json.new payload.json
fi

# 2. Say which key: SHA-256 of the public key in DER.
openssl x509 -in "$profile/signing.pem" -noout -pubkey |
  openssl pkey -pubin -outform DER -out public.der
key_id=$(sha256_of public.der)

# 3. Sign the pre-authentication encoding of type and payload.
type=application/vnd.lienthong.envelope.v1+json
{
  printf 'DSSEv1 %d %s %d ' "${#type}" "$type" "$(size_of payload.json)"
  cat payload.json
} > pae.bin
if [[ ! -e signature.bin ]]; then
  key=$profile/signing.key.pem
  case $(setting signing_algorithm) in
    ed25519)
      openssl pkeyutl -sign -inkey "$key" -rawin -in pae.bin -out signature.bin.new ;;
    ecdsa-p256-sha256 | rsa-pkcs1-sha256)
      openssl dgst -sha256 -sign "$key" -out signature.bin.new pae.bin ;;
    rsa-pss-sha256)
      openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 \
        -sigopt rsa_mgf1_md:sha256 -sign "$key" -out signature.bin.new pae.bin ;;
    *) echo "unknown signing_algorithm in $profile/profile.toml" >&2; exit 1 ;;
  esac
  mv signature.bin.new signature.bin
fi

# 4. Send. Bytes are base64 in protobuf's JSON.
cat > request.json <<END
{
  "envelope": {
    "payloadType": "$type",
    "payload": "$(base64_of payload.json)",
    "keyId": "$key_id",
    "signature": "$(base64_of signature.bin)"
  },
  "contents": ["$(base64_of "$file")"]
}
END
"$buf" curl --protocol grpc --schema "$protos" --data @request.json --output response.json \
  --cacert "$profile/ca.pem" --cert "$profile/transport.pem" --key "$profile/transport.key.pem" \
  "https://$hub/hub.v1.ExchangeService/SubmitDocument"
echo "accepted; the receipt is in $out/response.json"
