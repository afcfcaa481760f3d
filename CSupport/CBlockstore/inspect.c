// LMDB trusts its file: a page size of zero divides by zero, a page past the end of the file is a bus error. So the
// file is looked at first, as far as that can be done without reading all of it.
//
// The format (LMDB data version 1, on this machine's word size and byte order): every page starts with its number
// (a word), 2 spare bytes, 2 of flags, and 2 + 2 bytes of free-space bounds or 4 that count the pages of a long value.
// Pages 0 and 1 are the two meta pages; the one with the larger transaction number counts.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#define WORD sizeof(size_t)
#define PAGE_HEADER (WORD + 8)
#define MAGIC 0xBEEFC0DEu
#define DATA_VERSION 1
#define NO_PAGE SIZE_MAX
#define DEEPEST 32
#define LARGEST_FILE (1ull << 47)

enum { BRANCH = 0x01, LEAF = 0x02, LONG = 0x04, META = 0x08, PACKED_LEAF = 0x20 };
enum { NODE_IS_LONG = 0x01, NODE_IS_DATABASE = 0x02 };

typedef struct {
    uint32_t spare;  // in the first database of a meta page: the page size
    uint16_t flags;
    uint16_t depth;
    size_t branch_pages, leaf_pages, long_pages, entries;
    size_t root;
} database;

typedef struct {
    uint32_t magic;
    uint32_t version;
    size_t address;
    size_t map_size;
    database databases[2];  // free pages, main
    size_t last_page;
    size_t transaction;
} meta;

static bool read_all(int descriptor, void *to, size_t size, uint64_t offset) {
    uint8_t *next = to;
    while (size > 0) {
        ssize_t got = pread(descriptor, next, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        next += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static int read_meta(int descriptor, uint64_t offset, meta *found) {
    uint8_t bytes[PAGE_HEADER + sizeof(meta)];
    if (!read_all(descriptor, bytes, sizeof bytes, offset)) return CBS_FOREIGN;
    uint16_t flags;
    memcpy(&flags, bytes + WORD + 2, sizeof flags);
    memcpy(found, bytes + PAGE_HEADER, sizeof *found);
    if ((flags & META) == 0 || found->magic != MAGIC) return CBS_FOREIGN;
    if (found->version != DATA_VERSION) return CBS_OTHER_LMDB;
    uint32_t page_size = found->databases[0].spare;
    if (page_size < 256 || page_size > 65536 || (page_size & (page_size - 1)) != 0) return CBS_CORRUPT;
    if (found->last_page >= LARGEST_FILE / page_size) return CBS_CORRUPT;
    return CBS_OK;
}

int cbs_inspect_file(const char *data_path) {
    int major = 0, minor = 0;
    (void)mdb_version(&major, &minor, NULL);
    int descriptor = open(data_path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return errno == ENOENT ? CBS_OK : errno;
    struct stat file;
    int status = CBS_OK;
    if (fstat(descriptor, &file) != 0) status = errno;
    else if (!S_ISREG(file.st_mode)) status = CBS_FOREIGN;
    else if (file.st_size > 0 && major == 0 && minor == 9) {
        meta first, second;
        status = read_meta(descriptor, 0, &first);
        if (status == CBS_OK) {
            status = read_meta(descriptor, first.databases[0].spare, &second);
            if (status == CBS_FOREIGN) status = CBS_CORRUPT;  // the first page was right
            if (status == CBS_OK && second.databases[0].spare != first.databases[0].spare) status = CBS_CORRUPT;
        }
    }
    close(descriptor);
    return status;
}

typedef struct {
    int descriptor;
    size_t page_size;
    uint64_t file_pages;
} walk;

static uint16_t load16(const uint8_t *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static int walk_tree(const walk *file, size_t root, int depth);

/// Follows the references of one page that was read into `page`.
static int walk_page(const walk *file, const uint8_t *page, int depth) {
    uint16_t flags = load16(page + WORD + 2);
    if ((flags & PACKED_LEAF) != 0) return CBS_OK;
    if ((flags & (BRANCH | LEAF)) == 0) return CBS_CORRUPT;
    size_t lower = load16(page + WORD + 4);
    if (lower < PAGE_HEADER || lower > file->page_size) return CBS_CORRUPT;
    size_t count = (lower - PAGE_HEADER) / 2;
    for (size_t i = 0; i < count; i++) {
        // A node: the low and high half of its data size (or of a page number, whose rest is in the flags), flags,
        // the size of its key, the key, the data.
        size_t at = load16(page + PAGE_HEADER + 2 * i);
        if (at < lower || at + 8 > file->page_size) return CBS_CORRUPT;
        const uint8_t *node = page + at;
        size_t low = load16(node), high = load16(node + 2), rest = load16(node + 4), key_size = load16(node + 6);
        int status = CBS_OK;
        if ((flags & BRANCH) != 0) {
            size_t child = low | high << 16;
#if SIZE_MAX > 0xffffffffu
            child |= rest << 32;
#endif
            status = walk_tree(file, child, depth + 1);
        } else if ((rest & NODE_IS_LONG) != 0) {
            if (at + 8 + key_size + WORD > file->page_size) return CBS_CORRUPT;
            size_t first;
            memcpy(&first, node + 8 + key_size, sizeof first);
            uint64_t size = (uint64_t)low | (uint64_t)high << 16;
            uint64_t pages = (PAGE_HEADER - 1 + size) / file->page_size + 1;
            if (first >= file->file_pages || pages > file->file_pages - first) return CBS_CORRUPT;
        } else if ((rest & NODE_IS_DATABASE) != 0) {
            database found;
            if (at + 8 + key_size + sizeof found > file->page_size) return CBS_CORRUPT;
            memcpy(&found, node + 8 + key_size, sizeof found);
            status = walk_tree(file, found.root, depth + 1);
        }
        if (status != CBS_OK) return status;
    }
    return CBS_OK;
}

static int walk_tree(const walk *file, size_t root, int depth) {
    if (root == NO_PAGE) return CBS_OK;
    if (depth > DEEPEST || root >= file->file_pages) return CBS_CORRUPT;
    uint8_t *page = malloc(file->page_size);
    if (page == NULL) return ENOMEM;
    int status = read_all(file->descriptor, page, file->page_size, (uint64_t)root * file->page_size) ? CBS_OK : CBS_CORRUPT;
    if (status == CBS_OK) status = walk_page(file, page, depth);
    free(page);
    return status;
}

/// A file may rightly be a little shorter than its page count says: pages that were used and given up within the last
/// transaction are counted and never written. Only then are all pages walked.
static int check_length(int descriptor, const meta *state) {
    struct stat file;
    if (fstat(descriptor, &file) != 0) return errno;
    size_t page_size = state->databases[0].spare;
    uint64_t file_pages = (uint64_t)file.st_size / page_size;
    if (file_pages > state->last_page) return CBS_OK;
    walk whole = {descriptor, page_size, file_pages};
    int status = walk_tree(&whole, state->databases[0].root, 0);
    return status == CBS_OK ? walk_tree(&whole, state->databases[1].root, 0) : status;
}

int cbs_inspect_length(MDB_env *env) {
    int major = 0, minor = 0;
    (void)mdb_version(&major, &minor, NULL);
    if (major != 0 || minor != 9) return CBS_OK;
    mdb_filehandle_t descriptor;
    MDB_stat shape;
    int code = mdb_env_get_fd(env, &descriptor);
    if (code == MDB_SUCCESS) code = mdb_env_stat(env, &shape);
    if (code != MDB_SUCCESS) return cbs_status(code);
    // The transaction keeps the pages of its state from being used again; the meta page that describes it lasts for
    // two commits of other processes, so look again when it is gone.
    for (int attempt = 0; attempt < 16; attempt++) {
        MDB_txn *txn = NULL;
        code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (code == MDB_MAP_RESIZED) {
            code = mdb_env_set_mapsize(env, 0);
            if (code != MDB_SUCCESS) return cbs_status(code);
            continue;
        }
        if (code != MDB_SUCCESS) return cbs_status(code);
        meta state;
        int status = CBS_NOT_FOUND;
        for (uint64_t page = 0; page < 2 && status == CBS_NOT_FOUND; page++)
            if (read_meta(descriptor, page * shape.ms_psize, &state) == CBS_OK && state.transaction == mdb_txn_id(txn))
                status = check_length(descriptor, &state);
        mdb_txn_abort(txn);
        if (status != CBS_NOT_FOUND) return status;
    }
    return CBS_OK;
}
