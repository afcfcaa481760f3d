/*
 * CWire: every protobuf message this package reads from or writes to the network, and the varints and frames
 * around them.
 *
 * Rules that hold for all of it:
 *
 * - Lengths and sizes are in bytes, counts in elements.
 * - Input may be anything. A function that decodes reads no byte outside [data, data + length), allocates no
 *   more than its limits allow, and answers with a status. `data` may be NULL when `length` is 0.
 * - There is no global state. A handle or a message may be used by one thread at a time.
 * - Functions named *_size give the exact number of bytes that the *_write function of the same name writes.
 *   A *_write function writes that many bytes, or, when `capacity` is smaller, nothing, and returns how many.
 *   So 0 means: it did not fit, or there is nothing to write (size 0), or there is no such form (size 0).
 * - Only cwire_*_decode, cwire_*_create, cwire_*_set_*, cwire_*_add_* and arenas that grow allocate.
 */
#ifndef CWIRE_H
#define CWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------------------------------------------ */

/// What became of a call. Everything but CWIRE_OK is an error, CWIRE_TRUNCATED often only a lack of bytes yet.
typedef enum cwire_status {
    CWIRE_OK = 0,

    /// The input, or a submessage in it, ends inside a varint, a field of fixed size or a frame header.
    CWIRE_TRUNCATED = 1,
    /// A length inside the message points past its end, or past the end of the submessage around it.
    CWIRE_BAD_LENGTH = 2,
    /// An unsigned varint of multiformats is longer than 9 bytes, or one of protobuf longer than 10 or past 64 bits.
    CWIRE_VARINT_TOO_LONG = 3,
    /// An unsigned varint of multiformats has a shorter form.
    CWIRE_VARINT_NOT_MINIMAL = 4,
    /// A field number of 0 or past 2^29 - 1.
    CWIRE_BAD_FIELD_NUMBER = 5,
    /// A known field has another wire type than its own.
    CWIRE_WRONG_WIRE_TYPE = 6,
    /// A group (wire types 3 and 4), or a wire type that does not exist (6 and 7).
    CWIRE_UNSUPPORTED_WIRE_TYPE = 7,
    /// A field without which the message means nothing is absent.
    CWIRE_MISSING_FIELD = 8,
    /// A key of a type that is none of cwire_key_type.
    CWIRE_UNKNOWN_KEY_TYPE = 9,
    /// The code that protoc-c made refuses what the checks before it let through (keys and lengths of more than 5
    /// bytes), or found no memory.
    CWIRE_MALFORMED = 10,
    /// malloc failed.
    CWIRE_OUT_OF_MEMORY = 11,

    /// One more than a limit that was passed in. The name says which.
    CWIRE_LIMIT_FRAME_BYTES = 32,
    CWIRE_LIMIT_MESSAGE_BYTES = 33,
    CWIRE_LIMIT_WANTS = 34,
    CWIRE_LIMIT_BLOCKS = 35,
    CWIRE_LIMIT_PRESENCES = 36,
    CWIRE_LIMIT_CID_BYTES = 37,
    CWIRE_LIMIT_PREFIX_BYTES = 38,
    CWIRE_LIMIT_BLOCK_BYTES = 39,
    CWIRE_LIMIT_ADDRESSES = 40,
    CWIRE_LIMIT_PROTOCOLS = 41,
    CWIRE_LIMIT_CERTIFICATE_HASHES = 42,
    CWIRE_LIMIT_OTHER_FIELDS = 43,
} cwire_status;

/// A short English text for a status, never NULL, static.
const char *cwire_status_text(cwire_status status);

/* ---- Slices ------------------------------------------------------------------------------------------------ */

/// Bytes that belong to somebody else: the input, or a handle. `data` is NULL exactly when a field is absent; a field
/// that is present and empty has length 0 and data that is not NULL (and must not be read).
typedef struct cwire_bytes {
    const uint8_t *data;
    size_t length;
} cwire_bytes;

/// A piece of a buffer, by its place. Absent and empty are both {0, 0}.
typedef struct cwire_span {
    uint32_t offset;
    uint32_t length;
} cwire_span;

/* ---- Unsigned varints of multiformats ---------------------------------------------------------------------- */
/* https://github.com/multiformats/unsigned-varint: at most 9 bytes, values below 2^63, the shortest form only. */

#define CWIRE_UVARINT_MAXIMUM_LENGTH 9

/// 1 to 9; 0 for a value of 2^63 or more, which has no form.
size_t cwire_uvarint_size(uint64_t value);

size_t cwire_uvarint_write(uint64_t value, uint8_t *buffer, size_t capacity);

/// Reads the varint at the start of the input. On CWIRE_OK sets the value and how many bytes it took.
/// Errors: CWIRE_TRUNCATED, CWIRE_VARINT_TOO_LONG, CWIRE_VARINT_NOT_MINIMAL.
cwire_status cwire_uvarint_read(const uint8_t *data, size_t length, uint64_t *value, size_t *consumed);

/* ---- Frames ------------------------------------------------------------------------------------------------ */

/// Reads the length in front of a frame (an unsigned varint). On CWIRE_OK sets the length of the header itself and of
/// the body that follows it; the body need not be there yet. CWIRE_TRUNCATED: more bytes are needed to tell.
/// Errors: CWIRE_LIMIT_FRAME_BYTES when the body is longer than `maximum`, and those of cwire_uvarint_read.
cwire_status cwire_frame_header_read(
    const uint8_t *data, size_t length, size_t maximum, size_t *header_length, size_t *body_length);

/// The header of a frame with such a body. 0: the body is too long for any header.
size_t cwire_frame_header_size(size_t body_length);
size_t cwire_frame_header_write(size_t body_length, uint8_t *buffer, size_t capacity);

/* ---- Keys (proto/keys.proto) ------------------------------------------------------------------------------- */
/* Walked by hand and without a copy, so that no secret is left behind in memory that nobody wipes. */

typedef enum cwire_key_type {
    CWIRE_KEY_RSA = 0,
    CWIRE_KEY_ED25519 = 1,
    CWIRE_KEY_SECP256K1 = 2,
    CWIRE_KEY_ECDSA = 3,
} cwire_key_type;

/// A PublicKey or a PrivateKey: both have the same form. `data` is a slice of the input and lives as long.
typedef struct cwire_key {
    cwire_key_type type;
    cwire_bytes data;
} cwire_key;

/// Decodes a PublicKey or a PrivateKey of at most `maximum` bytes. Unknown fields are skipped, of a repeated field the
/// last counts; `key` is set on CWIRE_OK only.
/// Errors: CWIRE_LIMIT_MESSAGE_BYTES, CWIRE_MISSING_FIELD, CWIRE_UNKNOWN_KEY_TYPE, and those of malformed protobuf.
cwire_status cwire_key_decode(const uint8_t *data, size_t length, size_t maximum, cwire_key *key);

/// The one canonical encoding, the one that peer IDs are made from: type, then data, shortest varints. The size is 0
/// for a key too long for protobuf (2^31 - 1).
size_t cwire_key_size(cwire_key_type type, size_t key_length);
size_t cwire_key_write(cwire_key_type type, const uint8_t *key, size_t key_length, uint8_t *buffer, size_t capacity);

/* ---- What the control messages below have in common -------------------------------------------------------- */

/// How many fields a message, or a submessage in it, may hold besides the repeated ones that have a limit of their own:
/// singular ones, as often as they are repeated, and unknown ones. More is CWIRE_LIMIT_OTHER_FIELDS.
#define CWIRE_MAXIMUM_OTHER_FIELDS 256

/* ---- The payload of the Noise handshake (proto/noise.proto) ------------------------------------------------ */

/// Owned by whoever got it from _decode or _create, until cwire_noise_payload_free.
typedef struct cwire_noise_payload cwire_noise_payload;

typedef struct cwire_noise_payload_limits {
    size_t message_bytes;
    size_t stream_muxers;       // CWIRE_LIMIT_PROTOCOLS
    size_t certificate_hashes;  // CWIRE_LIMIT_CERTIFICATE_HASHES
} cwire_noise_payload_limits;

/// A handle with copies of what the input holds, or NULL and `*status` set.
cwire_noise_payload *cwire_noise_payload_decode(
    const uint8_t *data, size_t length, const cwire_noise_payload_limits *limits, cwire_status *status);
/// An empty payload to fill, or NULL: out of memory.
cwire_noise_payload *cwire_noise_payload_create(void);
/// NULL is allowed.
void cwire_noise_payload_free(cwire_noise_payload *payload);

/// The encoded PublicKey; data NULL when absent. Slices live until the next change of that field or the free.
cwire_bytes cwire_noise_payload_identity_key(const cwire_noise_payload *payload);
cwire_bytes cwire_noise_payload_identity_signature(const cwire_noise_payload *payload);
size_t cwire_noise_payload_stream_muxer_count(const cwire_noise_payload *payload);
/// UTF-8 as the peer sent it, unchecked. Data NULL past the count.
cwire_bytes cwire_noise_payload_stream_muxer(const cwire_noise_payload *payload, size_t index);
size_t cwire_noise_payload_certificate_hash_count(const cwire_noise_payload *payload);
cwire_bytes cwire_noise_payload_certificate_hash(const cwire_noise_payload *payload, size_t index);

/// These copy their argument. The only error is CWIRE_OUT_OF_MEMORY, also for more than 2^31 - 1 bytes.
cwire_status cwire_noise_payload_set_identity_key(cwire_noise_payload *payload, const uint8_t *data, size_t length);
cwire_status cwire_noise_payload_set_identity_signature(
    cwire_noise_payload *payload, const uint8_t *data, size_t length);
cwire_status cwire_noise_payload_add_stream_muxer(cwire_noise_payload *payload, const uint8_t *data, size_t length);
cwire_status cwire_noise_payload_add_certificate_hash(
    cwire_noise_payload *payload, const uint8_t *data, size_t length);

size_t cwire_noise_payload_size(const cwire_noise_payload *payload);
size_t cwire_noise_payload_write(const cwire_noise_payload *payload, uint8_t *buffer, size_t capacity);

/* ---- Identify (proto/identify.proto) ----------------------------------------------------------------------- */

/// Owned by whoever got it from _decode or _create, until cwire_identify_free.
typedef struct cwire_identify cwire_identify;

typedef struct cwire_identify_limits {
    size_t message_bytes;
    size_t listen_addresses;  // CWIRE_LIMIT_ADDRESSES
    size_t protocols;         // CWIRE_LIMIT_PROTOCOLS
} cwire_identify_limits;

/// A handle with copies of what the input holds, or NULL and `*status` set. A peer may send what it has in several
/// frames; their bodies, one behind the other, are one message.
cwire_identify *cwire_identify_decode(
    const uint8_t *data, size_t length, const cwire_identify_limits *limits, cwire_status *status);
/// An empty message to fill, or NULL: out of memory.
cwire_identify *cwire_identify_create(void);
/// NULL is allowed.
void cwire_identify_free(cwire_identify *identify);

/// Data NULL when absent. Slices live until the next change of that field or the free. Texts are UTF-8 as the peer sent
/// them, unchecked.
cwire_bytes cwire_identify_public_key(const cwire_identify *identify);
cwire_bytes cwire_identify_observed_address(const cwire_identify *identify);
cwire_bytes cwire_identify_protocol_version(const cwire_identify *identify);
cwire_bytes cwire_identify_agent_version(const cwire_identify *identify);
cwire_bytes cwire_identify_signed_peer_record(const cwire_identify *identify);
size_t cwire_identify_listen_address_count(const cwire_identify *identify);
cwire_bytes cwire_identify_listen_address(const cwire_identify *identify, size_t index);
size_t cwire_identify_protocol_count(const cwire_identify *identify);
cwire_bytes cwire_identify_protocol(const cwire_identify *identify, size_t index);

/// These copy their argument. The only error is CWIRE_OUT_OF_MEMORY, also for more than 2^31 - 1 bytes.
cwire_status cwire_identify_set_public_key(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_set_observed_address(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_set_protocol_version(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_set_agent_version(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_set_signed_peer_record(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_add_listen_address(cwire_identify *identify, const uint8_t *data, size_t length);
cwire_status cwire_identify_add_protocol(cwire_identify *identify, const uint8_t *data, size_t length);

size_t cwire_identify_size(const cwire_identify *identify);
size_t cwire_identify_write(const cwire_identify *identify, uint8_t *buffer, size_t capacity);

/* ---- Signed envelopes (proto/envelope.proto) --------------------------------------------------------------- */

/// The four fields. As the result of _decode: slices of a handle. As the argument of _write: slices of the caller's.
/// An absent field is empty (proto3); data is then NULL or not.
typedef struct cwire_envelope_fields {
    cwire_bytes public_key;  // an encoded PublicKey
    cwire_bytes payload_type;
    cwire_bytes payload;
    cwire_bytes signature;
} cwire_envelope_fields;

/// Owned by whoever got it from _decode, until cwire_envelope_free.
typedef struct cwire_envelope cwire_envelope;

/// A handle with copies of what the input holds, or NULL and `*status` set.
cwire_envelope *cwire_envelope_decode(const uint8_t *data, size_t length, size_t maximum, cwire_status *status);
cwire_envelope_fields cwire_envelope_get(const cwire_envelope *envelope);
/// NULL is allowed.
void cwire_envelope_free(cwire_envelope *envelope);

size_t cwire_envelope_size(const cwire_envelope_fields *fields);
size_t cwire_envelope_write(const cwire_envelope_fields *fields, uint8_t *buffer, size_t capacity);

/* ---- Peer records (proto/peer_record.proto) ---------------------------------------------------------------- */

/// Owned by whoever got it from _decode or _create, until cwire_peer_record_free.
typedef struct cwire_peer_record cwire_peer_record;

typedef struct cwire_peer_record_limits {
    size_t message_bytes;
    size_t addresses;  // CWIRE_LIMIT_ADDRESSES
} cwire_peer_record_limits;

/// A handle with copies of what the input holds, or NULL and `*status` set.
cwire_peer_record *cwire_peer_record_decode(
    const uint8_t *data, size_t length, const cwire_peer_record_limits *limits, cwire_status *status);
/// A record with this number and no addresses; copies the peer ID (its multihash). NULL: out of memory.
cwire_peer_record *cwire_peer_record_create(const uint8_t *peer_id, size_t length, uint64_t sequence_number);
/// NULL is allowed.
void cwire_peer_record_free(cwire_peer_record *record);

/// Length 0 when absent.
cwire_bytes cwire_peer_record_peer_id(const cwire_peer_record *record);
uint64_t cwire_peer_record_sequence_number(const cwire_peer_record *record);
size_t cwire_peer_record_address_count(const cwire_peer_record *record);
cwire_bytes cwire_peer_record_address(const cwire_peer_record *record, size_t index);

/// Copies its argument. The only error is CWIRE_OUT_OF_MEMORY, also for more than 2^31 - 1 bytes.
cwire_status cwire_peer_record_add_address(cwire_peer_record *record, const uint8_t *data, size_t length);

size_t cwire_peer_record_size(const cwire_peer_record *record);
size_t cwire_peer_record_write(const cwire_peer_record *record, uint8_t *buffer, size_t capacity);

/* ---- Bitswap, decoding (proto/bitswap.proto) --------------------------------------------------------------- */

/// The values of cwire_want.type and cwire_presence.type that have a meaning; others may come and are passed on.
#define CWIRE_WANT_BLOCK 0
#define CWIRE_WANT_HAVE 1
#define CWIRE_PRESENCE_HAVE 0
#define CWIRE_PRESENCE_DONT_HAVE 1

/// An entry of a wantlist. Absent fields are 0 or false: a want for the block, of priority 0.
typedef struct cwire_want {
    cwire_span cid;    // empty when absent: the reader decides
    int32_t priority;  // higher is sooner
    int32_t type;      // CWIRE_WANT_BLOCK or CWIRE_WANT_HAVE
    bool cancel;
    bool send_dont_have;
} cwire_want;

/// A block that came with the message.
typedef struct cwire_block {
    cwire_span prefix;  // empty when legacy
    cwire_span data;    // may well be empty: a block of no bytes
    bool legacy;        // from the `blocks` field of 1.0.0: its CID is a CIDv0
} cwire_block;

/// A HAVE or a DONT_HAVE.
typedef struct cwire_presence {
    cwire_span cid;
    int32_t type;  // CWIRE_PRESENCE_HAVE or CWIRE_PRESENCE_DONT_HAVE
} cwire_presence;

/// A decoded message, and the memory for it: spans are places in the input of the last decode. The arrays grow as
/// needed, never past the limits, and stay for the next message. Elements are in the order of the wire, those of all
/// wantlist submessages together (protobuf merges them).
typedef struct cwire_bitswap_message {
    cwire_want *wants;
    size_t want_count;
    cwire_block *blocks;
    size_t block_count;
    cwire_presence *presences;
    size_t presence_count;
    int32_t pending_bytes;
    bool has_wantlist;  // a wantlist submessage was there, maybe an empty one
    bool full;          // it replaces what the peer wanted before

    size_t want_capacity;
    size_t block_capacity;
    size_t presence_capacity;
} cwire_bitswap_message;

/// What one message may hold. One more of anything fails the whole message with the code named beside it.
typedef struct cwire_bitswap_limits {
    size_t message_bytes;  // CWIRE_LIMIT_MESSAGE_BYTES; 2^32 - 1 at most, whatever is set
    size_t wants;          // CWIRE_LIMIT_WANTS
    size_t blocks;         // CWIRE_LIMIT_BLOCKS; both kinds together
    size_t presences;      // CWIRE_LIMIT_PRESENCES
    size_t cid_bytes;      // CWIRE_LIMIT_CID_BYTES; of wants and presences
    size_t prefix_bytes;   // CWIRE_LIMIT_PREFIX_BYTES
    size_t block_bytes;    // CWIRE_LIMIT_BLOCK_BYTES; the data of one block
} cwire_bitswap_limits;

/// Makes an empty message; allocates nothing.
void cwire_bitswap_message_init(cwire_bitswap_message *message);
/// Forgets the contents, keeps the memory.
void cwire_bitswap_message_reset(cwire_bitswap_message *message);
/// Gives the memory back; the message is then as after init.
void cwire_bitswap_message_free(cwire_bitswap_message *message);
/// The bytes its arrays take.
size_t cwire_bitswap_message_memory(const cwire_bitswap_message *message);

/// Decodes the body of one frame in one pass and without a copy. What was in `message` before is forgotten; after an
/// error it is empty. Allocates only while the arrays are smaller than a message needs.
///
/// As protobuf has it: unknown fields are skipped, a repeated singular field counts with its last value, several
/// wantlists are merged, int32 fields and enums keep the low 32 bits. Stricter: a known field of the wrong wire type,
/// a group, a field number of 0 or past 2^29 - 1, and a varint past 64 bits are errors.
cwire_status cwire_bitswap_decode(
    const uint8_t *data, size_t length, const cwire_bitswap_limits *limits, cwire_bitswap_message *message);

/* ---- Bitswap, encoding ------------------------------------------------------------------------------------- */
/*
 * A message is its pieces one behind the other: the wantlist first, always, even an empty one (Kubo up to 0.35
 * crashes without it); then blocks, presences, pending bytes. The bytes are those that protobuf-c would write,
 * except for where a block's data comes from: only its header is written here, the data follows uncopied.
 *
 * A length past 2^31 - 1 has no form in protobuf: the size is 0.
 */

/// The whole wantlist field: header, every want, the full flag. `wants[i].cid` are places in `cids`; that they lie
/// inside it is the caller's part.
size_t cwire_bitswap_wantlist_size(const cwire_want *wants, size_t count, bool full);
size_t cwire_bitswap_wantlist_write(
    const uint8_t *cids, const cwire_want *wants, size_t count, bool full, uint8_t *buffer, size_t capacity);

/// The same in pieces. The header of a wantlist whose wants and full flag take `body_length` bytes:
size_t cwire_bitswap_wantlist_header_size(size_t body_length);
size_t cwire_bitswap_wantlist_header_write(size_t body_length, uint8_t *buffer, size_t capacity);
/// One want inside the wantlist. `want->cid.offset` is not looked at: `cid` points to the CID itself.
size_t cwire_bitswap_want_size(const cwire_want *want);
size_t cwire_bitswap_want_write(const uint8_t *cid, const cwire_want *want, uint8_t *buffer, size_t capacity);
/// The full flag at the end of the wantlist: write it only when it is set.
#define CWIRE_BITSWAP_FULL_SIZE 2
size_t cwire_bitswap_full_write(uint8_t *buffer, size_t capacity);

/// What stands before the data of a block in the `payload` field (1.1.0 and later). `data_length` bytes must follow.
size_t cwire_bitswap_block_header_size(size_t prefix_length, size_t data_length);
size_t cwire_bitswap_block_header_write(
    const uint8_t *prefix, size_t prefix_length, size_t data_length, uint8_t *buffer, size_t capacity);

/// What stands before the data of a block in the `blocks` field of 1.0.0.
size_t cwire_bitswap_legacy_block_header_size(size_t data_length);
size_t cwire_bitswap_legacy_block_header_write(size_t data_length, uint8_t *buffer, size_t capacity);

/// A HAVE or a DONT_HAVE.
size_t cwire_bitswap_presence_size(size_t cid_length, int32_t type);
size_t cwire_bitswap_presence_write(
    const uint8_t *cid, size_t cid_length, int32_t type, uint8_t *buffer, size_t capacity);

/// How many bytes are still queued for the receiver. Nothing is written for 0.
size_t cwire_bitswap_pending_bytes_size(int32_t pending_bytes);
size_t cwire_bitswap_pending_bytes_write(int32_t pending_bytes, uint8_t *buffer, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
