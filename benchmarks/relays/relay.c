/* The broker's limit: a relay with no cost of its own.
 *
 * Consumes QUEUE, publishes each body to EXCHANGE (persistent, mandatory, with confirms) and acknowledges one
 * delivery in 64, multiple. Build: cc -O2 relay.c -o relay -lrabbitmq
 * Usage: relay PORT QUEUE EXCHANGE COUNT PREFETCH
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAME_MAX = 131072, ACK_EVERY = 64 };

static void publish(amqp_connection_state_t connection, const char *exchange, const amqp_message_t *message) {
  amqp_basic_properties_t properties;
  memset(&properties, 0, sizeof properties);
  properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
  properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
  properties.message_id = message->properties.message_id;
  amqp_basic_publish(connection, 1, amqp_cstring_bytes(exchange), amqp_cstring_bytes("bench.key"), 1, 0,
                     &properties, message->body);
}

int main(int argc, char **argv) {
  if (argc != 6) {
    fprintf(stderr, "usage: relay PORT QUEUE EXCHANGE COUNT PREFETCH\n");
    return 2;
  }
  const char *queue = argv[2], *exchange = argv[3];
  const uint64_t count = strtoull(argv[4], NULL, 10);
  amqp_connection_state_t connection = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(connection);
  if (amqp_socket_open(socket, "127.0.0.1", atoi(argv[1])) != AMQP_STATUS_OK) {
    fprintf(stderr, "relay: nobody listens on port %s\n", argv[1]);
    return 1;
  }
  amqp_login(connection, "/", 0, FRAME_MAX, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  amqp_channel_open(connection, 1);
  amqp_confirm_select(connection, 1);
  amqp_basic_qos(connection, 1, 0, (uint16_t)atoi(argv[5]), 0);
  amqp_basic_consume(connection, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);

  uint64_t confirmed = 0, acked = 0;
  while (confirmed < count) {
    amqp_frame_t frame;
    amqp_maybe_release_buffers(connection);
    if (amqp_simple_wait_frame(connection, &frame) != AMQP_STATUS_OK) {
      fprintf(stderr, "relay: the connection ended\n");
      return 1;
    }
    if (frame.frame_type != AMQP_FRAME_METHOD) continue;
    if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
      amqp_message_t message;
      amqp_read_message(connection, 1, &message, 0);
      publish(connection, exchange, &message);
      amqp_destroy_message(&message);
    } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
      confirmed = ((amqp_basic_ack_t *)frame.payload.method.decoded)->delivery_tag;
      if (confirmed - acked >= ACK_EVERY || confirmed >= count) {
        amqp_basic_ack(connection, 1, confirmed, 1);
        acked = confirmed;
      }
    }
  }
  amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
  return 0;
}
