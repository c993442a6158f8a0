/* layout.c: where the maps of each region lie, and the seeds of the checksums (FMT-2, FMT-3,
 * FMT-15). */
#include "format/layout.h"

static uint64_t seed_of(const uint8_t uuid[NS__UUID_BYTES], uint64_t number, uint64_t seed)
{
    uint8_t bytes[NS__UUID_BYTES + 8];
    memcpy(bytes, uuid, NS__UUID_BYTES);
    ns__store64(bytes + NS__UUID_BYTES, number);
    return ns__checksum64(bytes, sizeof bytes, seed);
}

uint64_t ns__page_seed(const uint8_t uuid[NS__UUID_BYTES], uint64_t page)
{
    return seed_of(uuid, page, 0);
}

uint64_t ns__log_seed(const uint8_t uuid[NS__UUID_BYTES], uint64_t log_offset)
{
    return seed_of(uuid, log_offset, 1);
}

uint64_t ns__region_first_range(uint32_t page_size, uint32_t region)
{
    if (region == 0) return 0;
    return NS__REGION_0_RANGES + (uint64_t)(region - 1) * ns__region_ranges(page_size, 1);
}

uint32_t ns__region_of_range(uint32_t page_size, uint64_t range)
{
    if (range < NS__REGION_0_RANGES) return 0;
    uint64_t region = 1 + (range - NS__REGION_0_RANGES) / ns__region_ranges(page_size, 1);
    return region < UINT32_MAX ? (uint32_t)region : UINT32_MAX;
}

uint64_t ns__region_map_page(uint32_t page_size, uint32_t region)
{
    if (region == 0) return NS__REGION_MAP_PAGE_0;
    return ns__region_first_range(page_size, region) * ns__range_pages(page_size);
}

uint64_t ns__region_map_pages(uint32_t page_size, uint32_t region)
{
    return 3 + 3 * (uint64_t)ns__region_ranges(page_size, region);
}

uint64_t ns__directory_page(uint32_t page_size, uint32_t region, uint32_t place)
{
    return ns__region_map_page(page_size, region) + place - 1;
}

uint64_t ns__bitmap_page(uint32_t page_size, uint64_t range, uint32_t place)
{
    uint32_t region = ns__region_of_range(page_size, range);
    uint64_t index = range - ns__region_first_range(page_size, region);
    return ns__region_map_page(page_size, region) + 3 + 3 * index + place - 1;
}

bool ns__page_is_fixed(uint32_t page_size, uint64_t page)
{
    if (page < NS__REGION_MAP_PAGE_0) return true;
    uint32_t region = ns__region_of_range(page_size, page / ns__range_pages(page_size));
    uint64_t first = ns__region_map_page(page_size, region);
    return page >= first && page - first < ns__region_map_pages(page_size, region);
}

uint64_t ns__page_count_max(uint32_t page_size)
{
    uint64_t pages =
        ns__region_first_range(page_size, NS__REGIONS_MAX) * ns__range_pages(page_size);
    /* At 64 KiB the regions describe more pages than a reference can name (FMT-7). */
    return pages < NS__REF_NUMBER_MASK + 1 ? pages : NS__REF_NUMBER_MASK + 1;
}
