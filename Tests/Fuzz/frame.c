#include "check.h"

const char *cwire_fuzz_frame(const uint8_t *data, size_t length) {
    uint64_t value = 0;
    size_t consumed = 0;
    cwire_status status = cwire_uvarint_read(data, length, &value, &consumed);
    if (status == CWIRE_OK) {
        CHECK(consumed >= 1 && consumed <= length && consumed <= CWIRE_UVARINT_MAXIMUM_LENGTH);
        // There is one form of each value, so writing it gives the same bytes.
        CHECK(cwire_uvarint_size(value) == consumed);
        uint8_t *again = buffer_of(consumed);
        CHECK(cwire_uvarint_write(value, again, consumed - 1) == 0);
        CHECK(cwire_uvarint_write(value, again, consumed) == consumed);
        CHECK(equal_bytes(data, consumed, again, consumed));
        free(again);
        // Every beginning of it is incomplete, not wrong.
        for (size_t cut = 0; cut < consumed; cut++) {
            uint64_t ignored;
            size_t ignored_length;
            CHECK(cwire_uvarint_read(data, cut, &ignored, &ignored_length) == CWIRE_TRUNCATED);
        }
    } else if (status == CWIRE_TRUNCATED) {
        CHECK(length < CWIRE_UVARINT_MAXIMUM_LENGTH);
    } else {
        CHECK(status == CWIRE_VARINT_TOO_LONG || status == CWIRE_VARINT_NOT_MINIMAL);
    }

    size_t header = 0;
    size_t body = 0;
    cwire_status frame = cwire_frame_header_read(data, length, SIZE_MAX, &header, &body);
    CHECK(frame == status);
    if (frame == CWIRE_OK) {
        CHECK(header == consumed && body == value);
        CHECK(cwire_frame_header_size(body) == header);
        CHECK(cwire_frame_header_read(data, length, body, &header, &body) == CWIRE_OK);
        if (body > 0) CHECK(cwire_frame_header_read(data, length, body - 1, &header, &body) == CWIRE_LIMIT_FRAME_BYTES);
    }
    return NULL;
}
