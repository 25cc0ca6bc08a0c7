#!/usr/bin/env bash
# Check a receipt with nothing but OpenSSL 3: no hub, no network, no code of ours.
#
#   check-receipt-with-openssl.sh OUT TRUSTED_ROOT
#
# OUT is what send-with-openssl-and-buf.sh left: payload.json and response.json.
# TRUSTED_ROOT is the trusted_root.json that you got by a way you trust; its first log is
# taken. Each step ends the script if it fails.
set -euo pipefail

trusted_root=$(realpath "$2")
cd "$1"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "NOT PROVEN: $*" >&2; exit 1; }
# JSON without a parser: enough where no value in question holds a quotation mark or a brace.
# The first value of this name; the first object of this name without objects in it.
value() { tr -d '\n' < "$2" | { grep -o "\"$1\"[ ]*:[ ]*\"[^\"]*\"" || true; } | sed -n '1s/.*"\([^"]*\)"$/\1/p'; }
part() { tr -d '\n' < "$2" | { grep -o "\"$1\"[ ]*:[ ]*{[^{}]*}" || true; } | sed -n 1p; }
unbase64() { openssl base64 -d -A; }
sha256() { openssl dgst -sha256 -binary; }
hex() { od -An -v -tx1 | tr -d ' \n'; }
unhex() { local text=$1; while [[ -n $text ]]; do printf "\\x${text:0:2}"; text=${text:2}; done; }

# 1. Take the receipt apart.
part receipt response.json > "$work/receipt.json"
value leaf "$work/receipt.json" | unbase64 > "$work/leaf"
value proof "$work/receipt.json" | unbase64 > "$work/proof"
[[ -s $work/leaf && -s $work/proof ]] || fail "there is no receipt in response.json"

# 2. The leaf is about our payload: it names its SHA-256.
digest=$(openssl dgst -sha256 -r payload.json | cut -d' ' -f1)
grep -qF "\"digest\":\"$digest\"" "$work/leaf" || fail "the leaf does not name our payload"

# 3. The proof: a header, an index, the path, an empty line, the checkpoint.
[[ $(sed -n 1p "$work/proof") = c2sp.org/tlog-proof@v1 ]] || fail "not a tlog-proof"
sed '1,/^$/d' "$work/proof" > "$work/checkpoint"
index=$(sed -n 's/^index \([0-9]*\)$/\1/p;/^$/q' "$work/proof")
sed '/^$/,$d' "$work/proof" | sed '1,/^index /d' > "$work/path"
size=$(sed -n 2p "$work/checkpoint")
root=$(sed -n 3p "$work/checkpoint" | unbase64 | hex)
((index < size)) || fail "the leaf stands outside the tree"

# 4. From the leaf along the path to the root (RFC 9162, section 2.1.3.2).
hash=$({ printf '\x00'; cat "$work/leaf"; } | sha256 | hex)
node=$index last=$((size - 1))
while read -r sibling; do
  ((last > 0)) || fail "the path is too long"
  sibling=$(printf %s "$sibling" | unbase64 | hex)
  if ((node % 2 == 1 || node == last)); then
    hash=$({ printf '\x01'; unhex "$sibling$hash"; } | sha256 | hex)
    while ((node % 2 == 0 && node != 0)); do node=$((node / 2)) last=$((last / 2)); done
  else
    hash=$({ printf '\x01'; unhex "$hash$sibling"; } | sha256 | hex)
  fi
  node=$((node / 2)) last=$((last / 2))
done < "$work/path"
((last == 0)) || fail "the path is too short"
[[ $hash = "$root" ]] || fail "the path does not lead to the checkpoint's root"

# 5. The log's key: NAME+KEY ID+base64(type ‖ key); type 1 is Ed25519.
vkey=$(value vkey "$trusted_root")
name=${vkey%%+*} rest=${vkey#*+}
key_id=${rest%%+*}
printf %s "${rest#*+}" | unbase64 > "$work/key"
[[ $(head -c 1 "$work/key" | hex) = 01 ]] || fail "the log key is not Ed25519"
{ unhex 302a300506032b6570032100; tail -c +2 "$work/key"; } > "$work/key.der"
[[ $(sed -n 1p "$work/checkpoint") = "$name" ]] || fail "the checkpoint is of another log"

# 6. Its signature over the checkpoint: what stands before the empty line, line feed included.
sed '/^$/,$d' "$work/checkpoint" > "$work/body"
line=$(sed '1,/^$/d' "$work/checkpoint" | { grep -F "— $name " || true; } | sed -n 1p)
printf %s "${line##* }" | unbase64 > "$work/signed"
[[ $(head -c 4 "$work/signed" | hex) = "$key_id" ]] || fail "signed with another key"
tail -c +5 "$work/signed" > "$work/signature"
openssl pkeyutl -verify -pubin -inkey "$work/key.der" -keyform DER -rawin \
  -in "$work/body" -sigfile "$work/signature" > /dev/null ||
  fail "the log did not sign this checkpoint"

echo "proven: $name holds our payload $digest at position $index of $size"
