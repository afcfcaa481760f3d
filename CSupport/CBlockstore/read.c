// Reading: transactions that keep their place in the reader table, look-ups, pages of keys.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

#define ATTEMPTS 64

static void discard(cbs_reader *reader) {
    if (reader == NULL) return;
    mdb_txn_abort(reader->txn);
    free(reader);
}

static int renew(cbs_store *store, cbs_reader **reader) {
    if (*reader != NULL) return mdb_txn_renew((*reader)->txn);
    cbs_reader *made = calloc(1, sizeof *made);
    if (made == NULL) return ENOMEM;
    made->store = store;
    int code = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &made->txn);
    if (code != MDB_SUCCESS) free(made);
    else *reader = made;
    return code;
}

int cbs_read_begin(cbs_store *store, cbs_reader **out) {
    *out = NULL;
    bool swept = false;
    int code = MDB_MAP_RESIZED;
    for (int attempt = 0; attempt < ATTEMPTS && code == MDB_MAP_RESIZED; attempt++) {
        cbs_reader *reader = NULL;
        int status = cbs_enter(store, &reader);
        if (status != CBS_OK) return status;
        code = renew(store, &reader);
        if (code == MDB_READERS_FULL && !swept) {
            int dead = 0;
            swept = true;
            if (mdb_reader_check(store->env, &dead) == MDB_SUCCESS && dead > 0) code = renew(store, &reader);
        }
        if (code == MDB_SUCCESS) {
            *out = reader;
            return CBS_OK;
        }
        discard(reader);
        cbs_leave(store);
        // Another process made the map larger; it may do so again while we follow.
        if (code == MDB_MAP_RESIZED) {
            status = cbs_adopt_map(store);
            if (status != CBS_OK) return status;
        }
    }
    return cbs_status(code);
}

void cbs_read_end(cbs_reader *reader) {
    cbs_store *store = reader->store;
    mdb_txn_reset(reader->txn);
    pthread_mutex_lock(&store->lock);
    if (store->idle_count < CBS_IDLE_READERS) {
        store->idle[store->idle_count++] = reader;
        reader = NULL;
    }
    pthread_mutex_unlock(&store->lock);
    discard(reader);
    cbs_leave(store);
}

/// A value lies inside its page, or, when long, inside the run of pages that its header counts: in LMDB 0.9 it starts
/// right behind the header of the first of them. A damaged length must not lead a reader out of the file.
static bool value_is_sound(const cbs_store *store, const MDB_val *value) {
    if (!store->checks_values) return true;
    const size_t header = sizeof(size_t) + 8;
    size_t offset = (uintptr_t)value->mv_data % store->page_size;
    if (offset != header) return value->mv_size <= store->page_size - offset;
    const uint8_t *page = (const uint8_t *)value->mv_data - header;
    uint16_t flags;
    uint32_t pages;
    memcpy(&flags, page + sizeof(size_t) + 2, sizeof flags);
    memcpy(&pages, page + sizeof(size_t) + 4, sizeof pages);
    if ((flags & 0x04) == 0) return false;  // P_OVERFLOW
    return value->mv_size <= (uint64_t)pages * store->page_size - header;
}

int cbs_read_get(cbs_reader *reader, const void *key, size_t key_size, cbs_slice *value) {
    if (key_size == 0 || key_size > CBS_MAXIMUM_KEY_SIZE) return CBS_BAD_KEY;
    MDB_val wanted = {key_size, (void *)key}, found;
    int code = mdb_get(reader->txn, reader->store->blocks, &wanted, &found);
    if (code != MDB_SUCCESS) return cbs_status(code);
    if (!value_is_sound(reader->store, &found)) return CBS_CORRUPT;
    value->data = found.mv_data;
    value->size = found.mv_size;
    return CBS_OK;
}

static bool is_ordered(const void *left, size_t left_size, const MDB_val *right) {
    size_t common = left_size < right->mv_size ? left_size : right->mv_size;
    int order = memcmp(left, right->mv_data, common);
    return order != 0 ? order < 0 : left_size < right->mv_size;
}

int cbs_read_page(cbs_reader *reader, const void *after, size_t after_size, size_t limit, cbs_visit visit,
                  void *context) {
    if (after_size > CBS_MAXIMUM_KEY_SIZE) return CBS_BAD_KEY;
    MDB_cursor *cursor = NULL;
    int code = mdb_cursor_open(reader->txn, reader->store->blocks, &cursor);
    if (code != MDB_SUCCESS) return cbs_status(code);
    MDB_val key = {after_size, (void *)after}, value;
    code = mdb_cursor_get(cursor, &key, &value, after_size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    if (code == MDB_SUCCESS && after_size > 0 && key.mv_size == after_size && memcmp(key.mv_data, after, after_size) == 0)
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    for (size_t seen = 0; code == MDB_SUCCESS; ) {
        // In a damaged tree keys may come again and again: a listing must end.
        if (key.mv_size > CBS_MAXIMUM_KEY_SIZE || (after_size > 0 && !is_ordered(after, after_size, &key))) {
            code = MDB_CORRUPTED;
            break;
        }
        visit(context, key.mv_data, key.mv_size, value.mv_size);
        if (++seen >= limit) break;
        after = key.mv_data;
        after_size = key.mv_size;
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? CBS_OK : cbs_status(code);
}

int cbs_read_statistics(cbs_reader *reader, cbs_statistics *statistics) {
    memset(statistics, 0, sizeof *statistics);
    cbs_store *store = reader->store;
    MDB_stat blocks;
    MDB_envinfo info;
    cbs_record record;
    int status = cbs_status(mdb_stat(reader->txn, store->blocks, &blocks));
    if (status == CBS_OK) status = cbs_status(mdb_env_info(store->env, &info));
    if (status == CBS_OK) status = cbs_record_read(store, reader->txn, &record);
    if (status != CBS_OK) return status;
    mdb_filehandle_t descriptor;
    struct stat file;
    status = cbs_status(mdb_env_get_fd(store->env, &descriptor));
    if (status != CBS_OK) return status;
    if (fstat(descriptor, &file) != 0) return errno;
    statistics->count = blocks.ms_entries;
    statistics->bytes = record.bytes;
    statistics->file_size = (uint64_t)file.st_size;
    statistics->map_size = info.me_mapsize;
    statistics->transaction = info.me_last_txnid;
    return CBS_OK;
}
