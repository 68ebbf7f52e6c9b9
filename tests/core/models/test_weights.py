import hashlib
import pickle
import tarfile
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
from timm.layers import resample_abs_pos_embed
from torchvision.models.vision_transformer import interpolate_embeddings

from animefer_core.errors import InputError
from animefer_core.models import weights
from animefer_core.models.weights import find_weights, fit_state, load_weights, read_weights
from animefer_core.models.zoo import Network, build

SHARED = Path(__file__).parents[3].parent / "shared" / "weights"
REAL = SHARED / "vit_tiny_patch16_224.pth"
needs_real_weights = pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/weights beside the project")


class Marker:
    """Writes a file when it is unpickled: what code inside weights could do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def pretrained() -> dict[str, torch.Tensor]:
    """Return a state of timm's smallest ViT with 1,000 classes, at 64 pixels."""
    torch.manual_seed(0)
    state = build("test_vit", 1000, 64).model.state_dict()
    return {name: torch.randn_like(value) for name, value in state.items()}


def network(name: str = "test_vit", image_size: int = 64) -> Network:
    return build(name, 6, image_size)


def saved(state: object, path: Path, **options: bool) -> Path:
    torch.save(state, path, **options)
    return path


class TestFinding:
    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("vit_tiny_patch16_224", "vit_tiny_patch16_224.pth"),
            ("vit_tiny_patch16_224", "vit_tiny_patch16_224.pt"),
            ("vit_tiny_patch16_224", "vit_tiny_patch16_224.safetensors"),
            ("vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors"),
            ("resnet18", "resnet18.pth"),
            ("resnet18", "resnet18-f37072fd.pth"),
            ("resnet18", "resnet18-5c106cde.pth"),
            ("resnet50", "resnet50-0676ba61.pth"),
            ("vit_b_16", "vit_b_16-c867db91.pth"),
            ("vit_s_16", "vit_s_16.safetensors"),
            ("vit_s_16", "vit_small_patch16_224.augreg_in1k.safetensors"),
            ("vit_s_16", "vit_small_patch16_224.augreg_in1k/model.safetensors"),
            ("vit_s_16", "vit_small_patch16_224.pth"),
            ("resnet26d", "resnet26d-69e92c46.pth"),
            ("vit_base_patch16_rpn_224", "vit_base_patch16_rpn_224-sw-3b07e89d.pth"),
        ],
    )
    def test_file_under_the_models_or_the_librarys_name(self, tmp_path, model, name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert find_weights(model, tmp_path) == tmp_path / name

    def test_todays_file_goes_before_an_older_one(self, tmp_path):
        for name in ("resnet18-5c106cde.pth", "resnet18-f37072fd.pth"):
            (tmp_path / name).touch()
        assert find_weights("resnet18", tmp_path).name == "resnet18-f37072fd.pth"

    def test_of_several_older_files_the_first_by_name_is_taken(self, tmp_path):
        names = [f"resnet18-{number:08x}.pth" for number in (7, 3, 9, 1, 5)]
        for name in names:
            (tmp_path / name).touch()
        assert find_weights("resnet18", tmp_path).name == min(names)

    @pytest.mark.parametrize(
        ("model", "name"),
        [
            ("resnet18", "resnet50-0676ba61.pth"),
            ("resnet18", "resnet18-finetune.pth"),
            ("vit_s_16", "vit_small_patch16_224.augreg_in21k.safetensors"),
            ("vit_small_patch16_224.augreg_in21k", "vit_small_patch16_224.pth"),
        ],
    )
    def test_file_of_other_weights_is_not_taken(self, tmp_path, model, name):
        (tmp_path / name).touch()
        with pytest.raises(InputError):
            find_weights(model, tmp_path)

    def test_absent_file_names_folder_model_and_names(self, tmp_path):
        with pytest.raises(InputError) as caught:
            find_weights("resnet18", tmp_path)
        for part in (str(tmp_path), "resnet18.safetensors", "resnet18-f37072fd.pth", "<8 hexadecimal digits>.pth"):
            assert part in str(caught.value)

    def test_absent_folder_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"--weights-dir: there is no folder .*nowhere"):
            find_weights("resnet18", tmp_path / "nowhere")


class TestDownloading:
    @pytest.fixture(autouse=True)
    def empty_cache(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))

    def serve(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = None) -> bytes:
        """Let resnet18's address be a local file, named with its own hash or another one."""
        content = saved({"fc.weight": torch.zeros(3)}, tmp_path / "served.pth").read_bytes()
        served = tmp_path / f"resnet18-{digest or hashlib.sha256(content).hexdigest()[:8]}.pth"
        served.write_bytes(content)
        monkeypatch.setattr(weights, "_url", lambda model: served.as_uri())
        return content

    def test_torchvisions_file_goes_into_the_cache(self, tmp_path, monkeypatch):
        content = self.serve(tmp_path, monkeypatch)
        path = find_weights("resnet18", None)
        assert path.parent == tmp_path / "cache" / "checkpoints"
        assert path.read_bytes() == content

    def test_a_cached_file_is_not_downloaded_again(self, tmp_path, monkeypatch):
        self.serve(tmp_path, monkeypatch)
        first = find_weights("resnet18", None)
        monkeypatch.setattr(torch.hub, "download_url_to_file", None)
        assert find_weights("resnet18", None) == first

    def test_a_file_of_another_hash_is_refused(self, tmp_path, monkeypatch):
        self.serve(tmp_path, monkeypatch, digest="01234567")
        with pytest.raises(InputError, match=r"could not be downloaded .* --weights-dir .* --no-pretrained"):
            find_weights("resnet18", None)
        assert list((tmp_path / "cache" / "checkpoints").iterdir()) == []

    def test_a_missing_file_is_one_sentence(self, tmp_path, monkeypatch):
        monkeypatch.setattr(weights, "_url", lambda model: (tmp_path / "gone.pth").as_uri())
        with pytest.raises(InputError, match=r"weights of resnet18 could not be downloaded from file:.*gone\.pth"):
            find_weights("resnet18", None)

    @pytest.mark.parametrize(
        ("model", "repository"),
        [
            ("vit_s_16", "timm/vit_small_patch16_224.augreg_in1k"),
            ("vit_tiny_patch16_224", "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
        ],
    )
    def test_timms_file_comes_from_its_repository(self, tmp_path, monkeypatch, model, repository):
        def download(name: str, file: str, revision: str | None) -> str:
            return f"{tmp_path}/{name}/{file}"

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        assert find_weights(model, None) == tmp_path / repository / "model.safetensors"

    def test_a_failed_repository_is_one_sentence(self, monkeypatch):
        def download(name: str, file: str, revision: str | None) -> str:
            raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        with pytest.raises(InputError, match=r"timm/vit_small_patch16_224\.augreg_in1k \(no connection\)"):
            find_weights("vit_s_16", None)

    def test_a_model_without_weights_is_named(self):
        with pytest.raises(InputError, match="no pretrained weights of vit_giant_patch14_224"):
            find_weights("vit_giant_patch14_224", None)


class TestReading:
    @pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
    def test_tensors_as_saved_and_wrapped(self, tmp_path, pretrained, wrapper):
        content = pretrained if wrapper is None else {wrapper: pretrained, "epoch": 3}
        state = read_weights(saved(content, tmp_path / "a.pth")).state
        assert state.keys() == pretrained.keys()
        assert all(torch.equal(state[name], value) for name, value in pretrained.items())

    def test_torchs_older_format(self, tmp_path, pretrained):
        path = saved(pretrained, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
        assert read_weights(path).state.keys() == pretrained.keys()

    def test_safetensors(self, tmp_path, pretrained):
        path = tmp_path / "a.safetensors"
        safetensors.torch.save_file(pretrained, path)
        assert read_weights(path).state.keys() == pretrained.keys()

    def test_digest_and_source_are_the_files(self, tmp_path, pretrained):
        path = saved(pretrained, tmp_path / "a.pth")
        read = read_weights(path)
        assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert read.source == "a.pth"

    @pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
    @pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
    def test_truncated_file_is_named(self, tmp_path, pretrained, kind, share):
        path = tmp_path / f"a.{kind}"
        if kind == "safetensors":
            safetensors.torch.save_file(pretrained, path)
        else:
            saved(pretrained, path, _use_new_zipfile_serialization=kind == "zip")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=rf"a\.{kind} is truncated or no file of weights"):
            read_weights(path)

    @pytest.mark.parametrize("content", [b"not weights", b"<html>404</html>", b"\x89PNG\r\n\x1a\n" + bytes(100)])
    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_file_of_another_kind_is_named(self, tmp_path, content, suffix):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"a\.{suffix} is truncated or no file of weights"):
            read_weights(path)

    @pytest.mark.parametrize("name", ["resnet18-5c106cde.pth", "resnet50-19c8e357.pth"])
    @pytest.mark.skipif(not (SHARED / "broken").is_dir(), reason="needs ../shared/weights beside the project")
    def test_real_truncated_files_are_named(self, name):
        with pytest.raises(InputError, match=f"{name} is truncated"):
            read_weights(SHARED / "broken" / name)

    def test_a_whole_archive_of_the_old_tar_format_is_refused(self, tmp_path):
        (tmp_path / "storages").write_bytes(bytes(100))
        with tarfile.open(tmp_path / "a.pth", "w") as archive:
            archive.add(tmp_path / "storages", "storages")
        with pytest.raises(InputError, match=r"a\.pth is in torch's old tar format"):
            read_weights(tmp_path / "a.pth")

    @pytest.mark.parametrize("kind", ["zip", "old", "bare"])
    def test_code_inside_does_not_run(self, tmp_path, kind):
        marker, path = tmp_path / "ran", tmp_path / "a.pth"
        if kind == "bare":
            path.write_bytes(pickle.dumps({"fc.weight": Marker(marker)}, protocol=2))
        else:
            saved({"fc.weight": Marker(marker)}, path, _use_new_zipfile_serialization=kind == "zip")
        with pytest.raises(InputError, match=r"a\.pth has code inside"):
            read_weights(path)
        assert not marker.exists()

    def test_the_marker_runs_where_code_is_allowed(self, tmp_path):
        path = saved({"fc.weight": Marker(tmp_path / "ran")}, tmp_path / "a.pth")
        torch.load(path, weights_only=False)
        assert (tmp_path / "ran").exists()

    def test_a_whole_model_is_refused(self, tmp_path):
        with pytest.raises(InputError, match=r"a\.pth has code inside"):
            read_weights(saved(torch.nn.Linear(2, 2), tmp_path / "a.pth"))

    @pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"state_dict": {"epoch": 3}}])
    def test_a_file_without_tensors_is_named(self, tmp_path, content):
        with pytest.raises(InputError, match=r"a\.pth holds no tensors by name"):
            read_weights(saved(content, tmp_path / "a.pth"))

    def test_an_absent_file_is_named(self, tmp_path):
        with pytest.raises(InputError, match=r"gone\.pth cannot be opened"):
            read_weights(tmp_path / "gone.pth")


class TestLoading:
    def test_all_but_the_head_is_loaded(self, pretrained):
        fresh = network()
        head = fresh.classifier.weight.clone()
        load_weights(fresh, "test_vit", pretrained, 64)
        loaded = fresh.model.state_dict()
        assert all(torch.equal(loaded[name], pretrained[name]) for name in loaded if not name.startswith("head."))
        assert torch.equal(fresh.classifier.weight, head)

    @pytest.mark.parametrize("model", ["resnet18", "vit_b_16"])
    def test_torchvisions_own_state_fits(self, model):
        with torch.device("meta"):
            pretrained, fresh = build(model, 1000, 224), build(model, 6, 224)
        fitted = fit_state(fresh, model, pretrained.model.state_dict(), 224)
        assert fitted.keys() == fresh.model.state_dict().keys() - set(fresh.head)

    def test_a_state_without_a_head_fits(self, pretrained):
        bare = {name: value for name, value in pretrained.items() if not name.startswith("head.")}
        assert fit_state(network(), "test_vit", bare, 64).keys() == bare.keys()

    def test_counters_of_batchnorm_may_be_missing(self):
        fresh = network("test_resnet")
        state = {name: value for name, value in fresh.model.state_dict().items() if "num_batches" not in name}
        load_weights(fresh, "test_resnet", state, 64)

    def test_the_state_is_not_changed(self, pretrained):
        before = {name: value.clone() for name, value in pretrained.items()}
        load_weights(network(image_size=32), "test_vit", pretrained, 32)
        assert pretrained.keys() == before.keys()
        assert all(torch.equal(pretrained[name], before[name]) for name in before)

    @pytest.mark.parametrize("image_size", [16, 32, 96])
    def test_timms_position_embedding_is_interpolated(self, pretrained, image_size):
        fresh = network(image_size=image_size)
        load_weights(fresh, "test_vit", pretrained, image_size)
        grid = image_size // 16
        wanted = resample_abs_pos_embed(pretrained["pos_embed"], [grid, grid], num_prefix_tokens=1)
        assert torch.equal(fresh.model.get_parameter("pos_embed"), wanted)

    def test_half_precision_is_interpolated_in_single_precision(self):
        network = build("vit_tiny_patch16_224", 3, 32)
        half = {name: value.half() for name, value in build("vit_tiny_patch16_224", 3, 224).model.state_dict().items()}
        single = {name: value.float() for name, value in half.items()}
        of_half = fit_state(network, "vit_tiny_patch16_224", half, 32)
        of_single = fit_state(network, "vit_tiny_patch16_224", single, 32)
        assert all(torch.equal(of_half[name], of_single[name]) for name in of_single)

    def test_torchvisions_position_embedding_is_interpolated(self):
        with torch.device("meta"):
            fresh = build("vit_b_16", 6, 112)
        name = "encoder.pos_embedding"
        state = {key: value.expand(value.shape) for key, value in fresh.model.state_dict().items()}
        state[name] = torch.randn(1, 197, 768)
        wanted = interpolate_embeddings(112, 16, {name: state[name]})[name]
        assert torch.equal(fit_state(fresh, "vit_b_16", state, 112)[name], wanted)

    @pytest.mark.parametrize(("model", "key"), [("test_vit", "norm.weight"), ("test_resnet", "layer1.0.conv1.weight")])
    def test_a_missing_key_is_named(self, model, key):
        fresh = network(model)
        state = {name: value for name, value in fresh.model.state_dict().items() if name != key}
        with pytest.raises(InputError, match=rf"not those of {model} \(missing: {key}\)"):
            load_weights(fresh, model, state, 64)

    def test_an_unexpected_key_is_named(self, pretrained):
        state = {**pretrained, "blocks.9.norm1.weight": torch.zeros(64)}
        with pytest.raises(InputError, match=r"unexpected: blocks\.9\.norm1\.weight\)"):
            load_weights(network(), "test_vit", state, 64)

    def test_another_shape_is_named(self, pretrained):
        with pytest.raises(InputError, match=r"of another shape: norm\.bias\)"):
            load_weights(network(), "test_vit", {**pretrained, "norm.bias": torch.zeros(3)}, 64)

    def test_many_faults_are_counted(self, pretrained):
        with pytest.raises(InputError, match=r"missing: conv1\.0\.weight, .* and \d+ more; unexpected: cls_token, "):
            load_weights(network("test_resnet"), "test_resnet", pretrained, 64)

    def test_patches_of_another_size_are_not_resampled(self, pretrained):
        state = {**pretrained, "patch_embed.proj.weight": torch.zeros(64, 3, 32, 32)}
        with pytest.raises(InputError, match=r"of another shape: patch_embed\.proj\.weight"):
            load_weights(network(), "test_vit", state, 64)

    def test_positions_that_form_no_square_are_refused(self, pretrained):
        state = {**pretrained, "pos_embed": torch.zeros(1, 12, 64)}
        with pytest.raises(InputError, match="position embedding of test_vit cannot be interpolated to 64 pixels"):
            load_weights(network(), "test_vit", state, 64)

    def test_a_refused_state_changes_nothing(self, pretrained):
        fresh = network()
        before = {name: value.clone() for name, value in fresh.model.state_dict().items()}
        with pytest.raises(InputError):
            load_weights(fresh, "test_vit", {**pretrained, "more": torch.zeros(1)}, 64)
        assert all(torch.equal(value, before[name]) for name, value in fresh.model.state_dict().items())

    @needs_real_weights
    @pytest.mark.parametrize("image_size", [224, 112, 32])
    def test_real_weights_load(self, image_size):
        model = "vit_tiny_patch16_224"
        real = read_weights(find_weights(model, SHARED))
        fresh = network(model, image_size)
        load_weights(fresh, model, real.state, image_size)
        assert torch.equal(fresh.model.get_parameter("norm.weight"), real.state["norm.weight"])
        with torch.inference_mode():
            logits = fresh.model.eval()(torch.zeros(1, 3, image_size, image_size))
        assert logits.shape == (1, 6)
        assert logits.isfinite().all()

    @needs_real_weights
    def test_real_digest_is_the_listed_one(self):
        listed = dict(reversed(line.split()) for line in (SHARED / "SHA256SUMS").read_text().splitlines())
        assert read_weights(REAL).sha256 == listed["./vit_tiny_patch16_224.pth"]
