"""What is said of clusters: each file against its schema, each command against what takes it."""

import ast
import json
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path, PurePosixPath

import check_jsonschema
import click
import jsonschema
import pytest
import ray.autoscaler
import yaml
from packaging.requirements import Requirement
from ray.scripts.scripts import cli as ray_cli

from raudeep.cli import app

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
IMAGE = PurePosixPath("/home/ray/raudeep")
MANIFESTS = sorted(path.name for path in CLUSTER.glob("ray*.yaml"))
JOBS = sorted(path.name for path in (ROOT / "jobs").glob("*.py") if path.name != "launch.py")


def read(name):
    return (CLUSTER / name).read_text("utf-8")


def load(name):
    return yaml.safe_load(read(name))


def ray_cluster(name):
    spec = load(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def groups(name):
    cluster = ray_cluster(name)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def docker_lines():
    return read("Dockerfile").replace("\\\n", " ").splitlines()


# --- commands


def shell_lines():
    """Every line of a shell that the cluster's files, READMEs and jobs name, with its place."""
    for path in (ROOT / "README.md", ROOT / "docs" / "clusters.md", CLUSTER / "README.md"):
        text = path.read_text("utf-8")
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
            yield path.relative_to(ROOT).as_posix(), re.sub(r"(^|\s+)# .*", "", line).strip()
        for line in re.findall(r"`((?:ray|python) [^`]+)`", text):
            yield path.relative_to(ROOT).as_posix(), line
    for name in JOBS:
        text = ast.get_docstring(ast.parse((ROOT / "jobs" / name).read_text("utf-8"))) or ""
        for line in text.replace("\\\n", " ").splitlines():
            yield f"jobs/{name}", line.strip()
    for name in MANIFESTS:
        if "entrypoint" in load(name)["spec"]:
            yield f"cluster/{name}", load(name)["spec"]["entrypoint"]
    for name in ("head", "worker"):
        yield "cluster/compose.yaml", load("compose.yaml")["services"][name]["command"]
        for line in load("aws.yaml")[f"{name}_start_ray_commands"]:
            yield "cluster/aws.yaml", line


def words_after(line, start):
    """The words of a command from its `start` on, to the end of the command."""
    found = shlex.split(line[line.index(start) :], comments=True)
    ends = [n for n, word in enumerate(found) if word in ("|", ">", "&", "&&", ";")]
    return found[: ends[0]] if ends else found


JOB_LINES = [
    pytest.param(match[1], words_after(line, match[0])[2:], id=f"{place}:{match[2]}")
    for place, line in shell_lines()
    if (match := re.search(r"python (\S*jobs/(\w+)\.py)", line))
]
RAY_LINES = [
    pytest.param(words_after(line, match[0])[1:], id=f"{place}:{match[0]}")
    for place, line in shell_lines()
    for match in [
        re.search(r"\bray (?:start|stop|up|down|job|exec|status|dashboard|get-)\S*", line)
    ]
    if match
]


def command_of(job):
    """The command of raudeep that a job runs."""
    source = (ROOT / "jobs" / job).read_text("utf-8")
    return re.findall(r"(?:run\(|main\(\[)\"([\w-]+)\"", source)[0]


@pytest.mark.parametrize(("path", "flags"), JOB_LINES)
def test_every_job_that_is_named_exists_and_takes_the_flags(path, flags):
    place = PurePosixPath(path)
    if place.is_absolute():
        place = place.relative_to(IMAGE)
    assert (ROOT / place).is_file()
    app.parse_args([command_of(place.name), *flags], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("words", RAY_LINES)
def test_every_command_of_ray_that_is_named_exists_and_takes_the_flags(words):
    command = ray_cli
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    if "--" in words:
        words = words[: words.index("--")]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_commands_are_found_everywhere():
    for lines, least in ((JOB_LINES, 15), (RAY_LINES, 20)):
        places = {line.id.partition(":")[0] for line in lines}
        assert len(lines) >= least
        assert "cluster/README.md" in places
        assert {f"jobs/{name}" for name in JOBS} <= places


@pytest.mark.parametrize("job", JOBS)
def test_every_job_says_how_it_is_submitted(job):
    text = ast.get_docstring(ast.parse((ROOT / "jobs" / job).read_text("utf-8")))
    assert re.search(rf"ray job submit .* -- +python jobs/{job} ", text)
    assert "run the same" in " ".join(text.split())


@pytest.mark.parametrize("job", JOBS)
def test_every_job_runs_where_raudeep_is_not_installed_from_any_folder(job, tmp_path):
    # Without `site` no editable installation is seen, only what lies in the folder of packages.
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "jobs" / job, "--help"],
        env={"PYTHONPATH": sysconfig.get_path("purelib")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"raudeep {command_of(job)}" in done.stdout


def test_files_that_the_readme_names_exist():
    text = read("README.md")
    for name in re.findall(r"`([\w.-]+\.(?:yaml|json|txt)|Dockerfile)`", text):
        assert (CLUSTER / name).is_file(), name
    for name in re.findall(r"cluster/([\w.-]+\.\w+|Dockerfile)", text):
        assert (CLUSTER / name).is_file(), name
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings
    assert all(path.name in text for path in CLUSTER.glob("ray*.yaml"))


# --- the image


def test_the_image_is_pinned_and_runs_as_an_ordinary_user():
    lines = docker_lines()
    assert "FROM python:${PYTHON}-slim-bookworm" in lines
    assert [line for line in lines if line.startswith("USER")] == ["USER 1000"]
    assert "useradd --create-home --uid 1000" in read("Dockerfile")
    assert f"WORKDIR {IMAGE}" in lines
    assert "cpu) index=" in read("Dockerfile")
    assert "cuda) index=" in read("Dockerfile")


def test_what_the_image_copies_exists_and_reaches_the_builder():
    passed = [line[1:] for line in read("Dockerfile.dockerignore").splitlines() if line[0] == "!"]
    assert all((ROOT / name).exists() for name in passed)
    copied = [line.split()[1:-1] for line in docker_lines() if line.startswith("COPY")]
    assert {source for sources in copied for source in sources} <= set(passed)
    # What `pip install` of the checkout reads.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"raudeep", "pyproject.toml", project["readme"], *project["license-files"]} <= {*passed}


def test_versions_are_one_everywhere_and_satisfy_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = dict(line.split("==") for line in read("requirements.txt").splitlines())
    (pins["ray"],) = re.findall(r"ARG RAY=(\S+)", read("Dockerfile"))
    for requirement in map(Requirement, project["dependencies"]):
        assert requirement.specifier.contains(pins[requirement.name]), requirement
    assert {ray_cluster(name)["rayVersion"] for name in MANIFESTS} == {pins["ray"]}
    assert set(re.findall(r"ray\[default\]==([\d.]+)'", read("README.md"))) == {pins["ray"]}


# --- the launcher


def test_the_launcher_file_is_valid():
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(load("aws.yaml"), schema)


def test_spot_nodes_are_preferred_to_equal_ones_on_demand_and_the_head_is_none():
    config = load("aws.yaml")
    types = config["available_node_types"]
    assert "InstanceMarketOptions" not in types[config["head_node_type"]]["node_config"]
    for group in ("cpu", "gpu"):
        spot, steady = types[f"{group}-spot"], types[f"{group}-on-demand"]
        assert spot["priority"] > steady["priority"]
        assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
        for key in ("node_config", "resources", "docker", "min_workers"):
            assert spot.get(key) == steady.get(key)
        assert ("GPU" in spot["resources"]) == (group == "gpu")
        image = spot.get("docker", config["docker"])["worker_image"]
        assert image.endswith("cuda" if group == "gpu" else "cpu")


# --- Compose


def test_the_compose_file_is_valid():
    vendored = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
    schema = json.loads((vendored / "compose-spec.json").read_text("utf-8"))
    jsonschema.validate(load("compose.yaml"), schema)


def test_compose_starts_a_head_two_workers_and_a_store():
    services = load("compose.yaml")["services"]
    assert services["worker"]["deploy"]["replicas"] == "${WORKERS:-2}"
    assert (CLUSTER / services["head"]["build"]["context"]).resolve() == ROOT
    assert (ROOT / services["head"]["build"]["dockerfile"]).is_file()
    assert (CLUSTER / load("compose.yaml")["configs"]["dashboard"]["file"]).is_file()
    for service in services.values():
        assert not re.search(r":latest|^[^:]+$", service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert set(service.get("depends_on", ())) <= set(services)


# --- Kubernetes


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_have_what_the_operator_asks_for(name):
    manifest = load(name)
    kind = "RayCluster" if name == "raycluster.yaml" else "RayJob"
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    assert manifest["metadata"]["name"].startswith("raudeep")
    for group in groups(name):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        asked, most = container["resources"]["requests"], container["resources"]["limits"]
        assert asked == most
        assert {"cpu", "memory"} <= set(asked)
        assert container["image"].endswith("cuda" if "nvidia.com/gpu" in asked else "cpu")
        assert container["securityContext"]["runAsNonRoot"]
    for group in ray_cluster(name)["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    if kind == "RayJob":
        assert manifest["spec"]["shutdownAfterJobFinishes"]
        # Its stages take the pods that are there, and it starts when all of these are.
        assert all(group["replicas"] > 0 for group in ray_cluster(name)["workerGroupSpecs"])


# --- the token


def test_no_cluster_starts_without_a_token():
    assert "RAY_AUTH_MODE=token" in read("Dockerfile")
    assert all(ray_cluster(name)["authOptions"] == {"mode": "token"} for name in MANIFESTS)
    aws = load("aws.yaml")
    assert "--env RAY_AUTH_MODE=token" in aws["docker"]["run_options"]
    assert aws["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    for name in ("head", "worker"):
        environment = load("compose.yaml")["services"][name]["environment"]
        assert environment["RAY_AUTH_MODE"] == "token"
        assert environment["RAY_AUTH_TOKEN"].startswith("${RAY_AUTH_TOKEN:?")
