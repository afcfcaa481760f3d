#include "../../CSupport/CWire/generated/keys.pb-c.h"
#include "check.h"

const char *cwire_fuzz_key(const uint8_t *data, size_t length) {
    cwire_key key;
    cwire_status status = cwire_key_decode(data, length, length, &key);
    SwiftBitswap__Keys__PublicKey *oracle = swift_bitswap__keys__public_key__unpack(NULL, length, data);

    if (status == CWIRE_OK) {
        CHECK(key.type <= CWIRE_KEY_ECDSA && key.data.data != NULL);
        CHECK(key.data.data >= data && key.data.length <= length);
        CHECK((size_t)(key.data.data - data) <= length - key.data.length);
        if (oracle != NULL) {
            CHECK((int)key.type == (int)oracle->type);
            CHECK(equal_bytes(key.data.data, key.data.length, oracle->data.data, oracle->data.len));
        }
        CHECK(cwire_key_decode(data, length, length - 1, &key) == CWIRE_LIMIT_MESSAGE_BYTES);

        size_t size = cwire_key_size(key.type, key.data.length);
        uint8_t *again = buffer_of(size);
        CHECK(cwire_key_write(key.type, key.data.data, key.data.length, again, size - 1) == 0);
        CHECK(cwire_key_write(key.type, key.data.data, key.data.length, again, size) == size);
        SwiftBitswap__Keys__PublicKey canonical = SWIFT_BITSWAP__KEYS__PUBLIC_KEY__INIT;
        canonical.type = (SwiftBitswap__Keys__KeyType)key.type;
        canonical.data.data = (uint8_t *)(uintptr_t)key.data.data;
        canonical.data.len = key.data.length;
        CHECK(swift_bitswap__keys__public_key__get_packed_size(&canonical) == size);
        uint8_t *packed = buffer_of(size);
        swift_bitswap__keys__public_key__pack(&canonical, packed);
        CHECK(equal_bytes(again, size, packed, size));
        free(packed);
        free(again);
    } else if (oracle != NULL) {
        CHECK(status == CWIRE_BAD_FIELD_NUMBER || status == CWIRE_VARINT_TOO_LONG || status == CWIRE_UNKNOWN_KEY_TYPE);
    }

    if (oracle != NULL) swift_bitswap__keys__public_key__free_unpacked(oracle, NULL);
    return NULL;
}
