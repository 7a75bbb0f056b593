"""An agent in ten lines. Needs `HOLDGATE_API_URL` and `HOLDGATE_API_KEY`; run it with `python agent.py`."""

from holdgate.client import Client, Denied

with Client() as client:
    job = client.submit("job.demo.read", prompt="status")
    print(job.result(timeout_s=30).value)
    try:
        client.submit("job.exec.shell", prompt="rm -rf /")
    except Denied as denied:
        print(f"denied by {denied.rule}: {denied.reason}")
        print("safer:", [item.title for item in denied.remediations])
