"""The Kubernetes job: its numbers agree with each other and with what gzjax reads."""

import signal
from pathlib import Path

import pytest
import yaml

from gzjax.cli.flags import make_parser

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.fixture(scope="module")
def cluster():
    with (LAUNCH / "kubernetes.yaml").open() as file:
        documents = list(yaml.safe_load_all(file))
    return {document["kind"]: document for document in documents if document}


def test_kubernetes_numbers_agree(cluster):
    job, service = cluster["Job"]["spec"], cluster["Service"]
    pod = job["template"]["spec"]
    [container] = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert all(isinstance(value, str) for value in variables.values())
    assert job["completionMode"] == "Indexed"  # sets JOB_COMPLETION_INDEX
    assert "GZJAX_PROCESS_ID" not in variables
    assert job["completions"] == job["parallelism"]
    assert variables["GZJAX_NUM_PROCESSES"] == str(job["completions"])
    name, port = variables["GZJAX_COORDINATOR"].split(":")
    assert name == f"{cluster['Job']['metadata']['name']}-0.{pod['subdomain']}"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == job["template"]["metadata"]["labels"]
    assert [each["port"] for each in service["spec"]["ports"]] == [int(port)]
    assert [each["containerPort"] for each in container["ports"]] == [int(port)]


def test_kubernetes_pods_can_save_and_are_made_anew(cluster):
    job = cluster["Job"]["spec"]
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"  # else there is no podFailurePolicy
    assert pod["terminationGracePeriodSeconds"] >= 60
    rules = job["podFailurePolicy"]["rules"]
    conditions = [{"type": "DisruptionTarget"}]
    assert rules[0] == {"action": "Ignore", "onPodConditions": conditions}
    actions = {}
    for rule in rules[1:]:
        assert rule["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
        assert rule["onExitCodes"]["operator"] == "In"
        actions |= dict.fromkeys(rule["onExitCodes"]["values"], rule["action"])
    for number in (signal.SIGTERM, signal.SIGABRT):
        assert actions[128 + number] == "Ignore"
    assert actions[2] == "FailJob"


def test_kubernetes_runs_a_command_of_gzjax_on_the_claimed_volume(cluster):
    pod = cluster["Job"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    python, *rest = container["command"] + container["args"]
    assert python == "python"  # not a shell: SIGTERM is for the training
    assert rest[:2] == ["-m", "gzjax.main"]
    args = make_parser().parse_args(rest[2:])
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounts.keys() == volumes.keys()
    claim = volumes["data"]["persistentVolumeClaim"]["claimName"]
    assert claim == cluster["PersistentVolumeClaim"]["metadata"]["name"]
    assert cluster["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert args.workdir.is_relative_to(mounts["data"])
    data = next(v["value"] for v in container["env"] if v["name"] == "GZJAX_DATA")
    assert Path(data).is_relative_to(mounts["data"])
    assert "nvidia.com/gpu" in container["resources"]["limits"]


def test_kubernetes_says_what_to_fill_in(cluster):
    # Names that the cluster refuses as they are, with the line.
    [container] = cluster["Job"]["spec"]["template"]["spec"]["containers"]
    storage = cluster["PersistentVolumeClaim"]["spec"]["storageClassName"]
    assert container["image"] == storage == "FILL_IN"
