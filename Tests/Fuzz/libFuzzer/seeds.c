// Writes inputs to start from: `seeds DIR` fills DIR/<target>/.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "CWire.h"

static char directory[4096];

static void save(const char *target, int number, const uint8_t *data, size_t length) {
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", directory, target);
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/seed-%d", directory, target, number);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

#define TEXT(text) (const uint8_t *)text, sizeof text - 1

static void save_bitswap(void) {
    static const uint8_t cids[] = "\x01\x55\x12\x04" "abcd" "\x12\x04" "efgh";
    cwire_want wants[3] = {
        {{0, 8}, INT32_MAX, CWIRE_WANT_HAVE, false, true},
        {{8, 6}, 1, CWIRE_WANT_BLOCK, true, false},
        {{0, 0}, -1, CWIRE_WANT_BLOCK, false, false},
    };
    uint8_t buffer[1024];
    size_t used = 0;
    for (int number = 0; number < 8; number++) {
        if ((number & 1) == 0) used = 0;
        used += cwire_bitswap_wantlist_write(
            cids, wants, (size_t)number % 4, number == 2, buffer + used, sizeof buffer - used);
        if (number > 2) {
            used += cwire_bitswap_legacy_block_header_write(3, buffer + used, sizeof buffer - used);
            memcpy(buffer + used, "old", 3);
            used += 3;
        }
        if (number > 3) {
            used += cwire_bitswap_block_header_write(TEXT("\x01\x55\x12\x20"), 5, buffer + used, sizeof buffer - used);
            memcpy(buffer + used, "Hello", 5);
            used += 5;
            used += cwire_bitswap_block_header_write(TEXT("\x00\x70\x12\x20"), 0, buffer + used, sizeof buffer - used);
        }
        if (number > 4) {
            used += cwire_bitswap_presence_write(cids, 8, CWIRE_PRESENCE_HAVE, buffer + used, sizeof buffer - used);
            used += cwire_bitswap_presence_write(
                cids + 8, 6, CWIRE_PRESENCE_DONT_HAVE, buffer + used, sizeof buffer - used);
            used += cwire_bitswap_pending_bytes_write(number - 6, buffer + used, sizeof buffer - used);
        }
        save("bitswap", number, buffer, used);
    }
}

static void save_small(void) {
    uint8_t buffer[1024];
    int number = 0;
    for (uint64_t value = 1; value < (uint64_t)1 << 62; value <<= 9) {
        save("frame", number++, buffer, cwire_uvarint_write(value, buffer, sizeof buffer));
    }
    for (int type = 0; type <= CWIRE_KEY_ECDSA; type++) {
        size_t used = cwire_key_write((cwire_key_type)type, buffer, 32, buffer + 64, sizeof buffer - 64);
        save("key", type, buffer + 64, used);
    }
}

static void save_control(void) {
    uint8_t buffer[1024];
    cwire_noise_payload *payload = cwire_noise_payload_create();
    cwire_identify *identify = cwire_identify_create();
    cwire_peer_record *record = cwire_peer_record_create(TEXT("\x00\x04" "peer"), 1570215229);
    if (payload == NULL || identify == NULL || record == NULL) exit(1);

    cwire_noise_payload_set_identity_key(payload, TEXT("\x08\x01\x12\x02" "AB"));
    cwire_noise_payload_set_identity_signature(payload, TEXT("signature"));
    save("noise_payload", 0, buffer, cwire_noise_payload_write(payload, buffer, sizeof buffer));
    cwire_noise_payload_add_stream_muxer(payload, TEXT("/yamux/1.0.0"));
    cwire_noise_payload_add_stream_muxer(payload, TEXT("/mplex/6.7.0"));
    cwire_noise_payload_add_certificate_hash(payload, TEXT("\x12\x20"));
    save("noise_payload", 1, buffer, cwire_noise_payload_write(payload, buffer, sizeof buffer));

    cwire_identify_add_listen_address(identify, TEXT("\x04\x7f\x00\x00\x01\x06\x0f\xa1"));
    cwire_identify_add_listen_address(identify, TEXT("\x04\x0a\x00\x00\x01\x06\x0f\xa1"));
    cwire_identify_add_protocol(identify, TEXT("/ipfs/ping/1.0.0"));
    save("identify", 0, buffer, cwire_identify_write(identify, buffer, sizeof buffer));
    cwire_identify_set_public_key(identify, TEXT("\x08\x01\x12\x02" "AB"));
    cwire_identify_set_observed_address(identify, TEXT("\x04\x7f\x00\x00\x01\x06\xd4\x31"));
    cwire_identify_set_protocol_version(identify, TEXT("ipfs/0.1.0"));
    cwire_identify_set_agent_version(identify, TEXT("agent/1"));
    cwire_identify_set_signed_peer_record(identify, TEXT(""));
    save("identify", 1, buffer, cwire_identify_write(identify, buffer, sizeof buffer));

    cwire_envelope_fields fields = {{TEXT("key")}, {TEXT("\x03\x01")}, {TEXT("payload")}, {TEXT("signature")}};
    save("envelope", 0, buffer, cwire_envelope_write(&fields, buffer, sizeof buffer));

    save("peer_record", 0, buffer, cwire_peer_record_write(record, buffer, sizeof buffer));
    cwire_peer_record_add_address(record, TEXT("\x04\x7f\x00\x00\x01\x06\x0f\xa1"));
    cwire_peer_record_add_address(record, TEXT(""));
    save("peer_record", 1, buffer, cwire_peer_record_write(record, buffer, sizeof buffer));

    cwire_noise_payload_free(payload);
    cwire_identify_free(identify);
    cwire_peer_record_free(record);
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: seeds DIR\n");
        return 64;
    }
    snprintf(directory, sizeof directory, "%s", arguments[1]);
    mkdir(directory, 0777);
    save_bitswap();
    save_small();
    save_control();
    return 0;
}
