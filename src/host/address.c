/* SPDX-License-Identifier: MIT */
#include "host/address.h"

#include <stdlib.h>
#include <string.h>

#include "host/handle.h"
#include "host/host.h"
#include "host/worker.h"

MQ_Address *host_address_new(struct host_worker *worker, const char *email, MQ_Connection *connection,
                             MQ_Message *message)
{
    size_t length = email ? strlen(email) : 0;
    size_t size = length + 3; /* with brackets and NUL */
    MQ_Address *address = malloc(sizeof *address + size);
    if (!address)
        host_rule_broken(HOST_RULE_NM1, NULL, NULL, "no memory for an address");
    *address = (MQ_Address){.connection = connection, .message = message, .size = size, .empty = !length};
    host_handle_init(&address->handle, HOST_KIND_ADDRESS, worker);
    char *end = address->text;
    if (worker->host->knobs.brackets && length)
        *end++ = '<';
    if (length)
        end = mempcpy(end, email, length);
    if (worker->host->knobs.brackets && length)
        *end++ = '>';
    *end = '\0';
    /* the documentation allows both ways to show the null sender: each is seen */
    address->email = address->empty && worker->null_senders++ % 2 == 0 ? NULL : address->text;
    return address;
}

void host_address_free(MQ_Address *address, const char *death)
{
    if (!address)
        return;
    memset(address->text, 0xDD, address->size);
    address->text[address->size - 1] = '\0';
    address->connection = NULL;
    address->message = NULL;
    host_quarantine_put(&address->handle.worker->quarantine, &address->handle, death, NULL);
}
