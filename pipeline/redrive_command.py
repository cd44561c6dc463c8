"""`pipeline redrive`: connects, sends back, and says what it did."""

from pipeline.errors import InputError
from pipeline.redrive import Redrive
from pipeline.redrive_choice import Choice
from pipeline.secured import secured
from pipeline.settings import ConnectionSettings
from pipeline.signals import StopSignals
from pipeline.transport.choose import clients

SESSION_TIMEOUT_S = 10.0
"""After a call that was killed the next one has its partitions after this long."""
LEAVE_TIMEOUT_S = 3.0


def redrive(
    settings: ConnectionSettings, choice: Choice, signals: StopSignals
) -> list[str]:
    """Send dead letters back; what was done, as lines.

    Raises:
        InputError: a topic does not exist, or they would be sent to where they are.
        TransportError: Kafka refused, or did not answer in time.
    """
    kafka = settings.kafka
    if choice.to_topic == choice.dead_letters_topic:
        raise InputError(
            f"--to-topic {choice.to_topic}: that is where the dead letters are"
        )
    client = secured(clients(kafka.client), kafka, reads_committed=True)
    producer = client.producer(
        bootstrap_servers=kafka.bootstrap_servers,
        connect_timeout_s=kafka.connect_timeout_s,
        delivery_timeout_s=kafka.send_timeout_s,
    )
    try:
        if producer.check_topics([choice.dead_letters_topic], kafka.connect_timeout_s):
            raise InputError(
                f"Kafka {kafka.bootstrap_servers} has no topic "
                f"{choice.dead_letters_topic!r}; see PIPELINE_KAFKA__DEAD_LETTERS_TOPIC"
            )
        call = Redrive(
            choice,
            lambda listener: client.consumer(
                bootstrap_servers=kafka.bootstrap_servers,
                group_id=f"{choice.dead_letters_topic}.redrive",
                topic=choice.dead_letters_topic,
                listener=listener,
                session_timeout_s=SESSION_TIMEOUT_S,
                max_poll_interval_s=kafka.max_poll_interval_s,
                connect_timeout_s=kafka.connect_timeout_s,
            ),
            producer,
        )
        try:
            with signals.work_to_finish() as stop:
                call.run(stop)
        finally:
            call.close(LEAVE_TIMEOUT_S)
    finally:
        producer.close(LEAVE_TIMEOUT_S)
    return call.summary.lines(choice.is_dry_run)
