"""The numbers of DEAM's distributed static files, known by two bytes a song.

A checksum of two bytes tells a song whose four numbers are as they were distributed from one that somebody changed: a
change passes unseen once in 65,000 times. It works for a copy that lacks songs or files, and where there are no
annotations over time to compare with. The numbers themselves cannot be found out from it, since hundreds of others have
the same checksum; DEAM is not part of this project.

`make_checksums` made `CHECKSUMS` from the files of the Kaggle package.

Conventions: (valence, arousal) as the files name them, so for the ids up to 1000 a checksum is that of the numbers
under each other's names.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import numpy as np

# Where this share of the songs is recognised, a copy is taken for the distributed files, however altered.
_LEAST_SHARE = 0.5
# One song in eighteen has the checksum of some other by chance.
_FEWEST_MISPLACED = 8

AS_DISTRIBUTED, EXCHANGED = "as distributed", "exchanged"
#: The numbers of other songs.
MISPLACED = "misplaced"
STDS_EXCHANGED, MEANS_EXCHANGED = "standard deviations exchanged", "means exchanged"


@dataclass(frozen=True)
class Recognition:
    """How far some songs' numbers are those of the distributed files.

    Attributes:
        n_songs: songs asked about.
        variant: how most of them stand, one of the five
            names above; None where they are not DEAM's numbers.
        altered: ids of songs whose numbers stand otherwise; empty where `variant` is None.
        turned: those of them that are DEAM's numbers, valence and arousal the other way round than in most.
    """

    n_songs: int
    variant: str | None
    altered: tuple[int, ...] = ()
    turned: tuple[int, ...] = ()

    @property
    def n_known(self) -> int:
        """Songs whose numbers are those of the distributed files."""
        return self.n_songs - len(self.altered) + len(self.turned) if self.variant else 0


def recognise(ids: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Recognition:
    """Compare songs with the distributed files.

    Args:
        ids: song ids, shape (n_songs,).
        mean: static annotations as the file names them, shape (n_songs, 2).
        std: their standard deviations between raters, same shape.
    """
    orders = {AS_DISTRIBUTED: (1, 1), EXCHANGED: (-1, -1), STDS_EXCHANGED: (1, -1), MEANS_EXCHANGED: (-1, 1)}
    for variant, (means, stds) in orders.items():
        known = _match(ids, mean[:, ::means], std[:, ::stds])
        if len(ids) and known.mean() >= _LEAST_SHARE:
            altered = ids[~known]
            turned = altered[_match(altered, mean[~known, ::-means], std[~known, ::-stds])]
            return Recognition(len(ids), variant, tuple(altered.tolist()), tuple(turned.tolist()))
    if len(ids) >= _FEWEST_MISPLACED and _at_any_song(mean, std).mean() >= _LEAST_SHARE:
        return Recognition(len(ids), MISPLACED, tuple(ids.tolist()))
    return Recognition(len(ids), None)


def known_ids() -> list[int]:
    """The ids of all songs that were distributed."""
    return [song for song in range(1, len(CHECKSUMS) // 2 + 1) if _expected(song)]


def make_checksums(ids: np.ndarray, mean: np.ndarray, std: np.ndarray) -> bytes:
    """Two bytes for each id from 1 to the highest; 0 for an id without a song."""
    made = np.zeros(int(ids.max()), dtype="<u2")
    made[ids - 1] = _checksums(mean, std)
    return made.tobytes()


def _match(ids: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    expected = np.array([_expected(song) for song in ids.tolist()], dtype=int)
    same: np.ndarray = expected == np.array(_checksums(mean, std), dtype=int)
    return same


def _at_any_song(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Which songs have numbers that some song was distributed with, either way round, shape (n_songs,)."""
    expected = np.frombuffer(CHECKSUMS, dtype="<u2")
    straight, turned = (np.isin(_checksums(mean[:, ::turn], std[:, ::turn]), expected) for turn in (1, -1))
    found: np.ndarray = straight | turned
    return found


def _checksums(mean: np.ndarray, std: np.ndarray) -> list[int]:
    table = np.column_stack([mean[:, 0], std[:, 0], mean[:, 1], std[:, 1]]).tolist()
    return [_checksum(row) for row in table]


def _checksum(numbers: list[float]) -> int:
    """From 1 to 65535; does not depend on the way numbers are written."""
    text = ",".join([f"{number:.4f}" for number in numbers])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=2).digest(), "little") or 1


def _expected(song: int) -> int:
    """The checksum of the song with this id; 0 where there is none."""
    return int.from_bytes(CHECKSUMS[2 * song - 2 : 2 * song], "little") if song > 0 else 0


CHECKSUMS = base64.b85decode(
    "008h`SWH*`O3nZPw)A>7007-v0091OBijG~00000akB`bMGfrKaWXHt005%Jr|SR!0000000000ttFcl00000&z%4O(h2|opmNez043bnk?(G7"
    "KjnS|hs+H}4CEBwT?$AdLdw-B#PPEP003D%J&k-7006@P0045i^`Za($(|<>LA+d%^_i!wEFtXB005hp9AsPGISLZ1cl#PfjcQTC1yy-`OtrP3"
    "eSaD|?E2<Bv0nfHiq4s>001CCxV``YeHVkinfR*S6}=(OBdCshk-Nq-@6p(nu{Y)k<`MX~0V^zc$QQ9PR#UHak?<s~kYB?0>LN!Hay3H|&3*s?"
    "UUR2MQ{*N4`OEnB003Vh004dLk~~Fe6Lo>3001F8$jgn*jXk^EUi;~Bn`G@Z=K+(OX7$b!0p^1;4z%hB003LB=o8384s(CsjB}ma!o=^fBTG5z"
    "TnwU1yE5`u$>Frs005pm9^AMbmQ9qOWynM5cE6dYOm}us&a<fRY3kkxiQNDIyD&5#8_U#U1b6(JQTk?5(>?QcSuOK!wh}R;a+(gUOV0*AK4S*c"
    "hIzy6A%g0}Tv@b%D~8)x(1QQ~X=xT0a+hfG-1x1I)ow_VG%DC>FFum?ybD(40@ntrPoR$N007NO00000g2|tR00000wNHr}008lC008wg006Nz"
    "_;>e<000000`{yU002iC21$tb8RWp+003pCnPWiq2=CE;003i|%df{S000xlO8bEP004_Ug+{wK007{=skNr&2IT{-XGbrRO$c}zE?Si|xE<yy"
    "+%Phy<022L!FCsL93Ye=1H(&j!ECLPv8zVK$@ne1k3eNdjNWRDyv9Du006rJC>o@PcX)~=007Qo=<DeS`wXvm$~TG`z@}5FVlUwndU=^<008}}"
    "YjrOvplkG=U9g?-ZHSFky93)b0004%gnCOHwD^0<@oD{ql{1>n003A#lLioR007B@kYB=vO^W~k4_4T|004)m($@e0007QX#e_(=_KpAmpUVIM"
    "TzLQhhHaqM6?{ZIi6P;V%8(4EsPBYD007#_0000000000_?bSs00000(w^eH003@?VN3u3OmL=Y!q&b5Z;(Zq?kAw#00000T>(?@(H;N*002vc"
    "N6e@8008b6(}w^6005hD-0mUE-?zENRhNWj7eQU|003DBS(-6M3r|>Jb$|*m008!62&Pc8fR6wG002(L1#bWVM85z4;rBX)?^_L=zh{uu002{X"
    "3kr0A9N*-*d{Z@M004J{)SPwR008hA_|%8Iz7g{Ci6+qJxDw~X0062~9OnQ400000001sNiylLttoi@|006Y<Vf3_^M4$k%KM2(u;eG%Be(V4M"
    "7Eawc0000000000s3#U^lgj`A004~600000007*r00000&BOoz006_GA*BES008)4JdcSC008iS00122;G+Nl005G<A~gU2007}30000000000"
    "008lu00000`Y-?h@V@xFVdaal000dFYzaLz0000000000=2%wo004Iz000005GW3c008`|0000000000j^&XssogOlhygKM34^o+#6cgIQRWxt"
    "-jo0U001f4V=<+Zmm>fGpZ)*<0088JLB#+7;%L|m0090rn&SWfj#TmNWV32t00000p<?UH-&?V>K%Pc>7M1?Cmse^aI-{`S000jsM}F3_000>Q"
    "uS7HvMC#<<YJLP|6SSSW00000b1L5$^znUyd>3^~@|*ww00000Ah}G~002hR88-ii7ie=<tIvYZ?0fGvnMeQtFp8*Lli;~qj#0O<004A{5d!M@"
    "008-BZVXZDLk0fEl@90NgxfNQ|DgZ?L2w;da>D=s87Jj2QttS(CCANV>bT@j0s70qgdrxeMdm2J^gUgHDfr}}eo32}+{D|$iVCWuB&FyPF>qUm"
    ";rmDL0000000000001<sdf?wHMZ^FA00000rswx000000@y`GNFQWhe00000#uxwqX5Qdnl8pcWjbMa}g;TPb0060-00000^gRFo_$}ZY?%DtV"
    "007CInJm-DmdzkU&@u?~I<o)(005gowA~1Fc&N>t001Q$A>{x7s;PWq^sE2?006S^(ba%o00000#!=HP<#jQv00000fvHjkmA(J~wFX?O008o6"
    "00000d58c2_iO+F002{Q>MwXa0046L004=s4u?*u006$2uzjX&M4LiUSLLMy00000IicKc9Xfpeik1KXU#tKCW=|IN-!i6o005+H00000@Ld&8"
    "003>z002`&004c(`X>MYZDu3|H|3+9vSk1O00000=JEfgZFK+u002bMqXiz&00000002EEeNFR{Xea;x-53A>Hzfc70000000000Y!Lte008@;"
    "BQaD=003Rk00000#b2rT005!H008*)005)3ewqLPV55Iq005Tw1?vC+00000Y-#`i006nK0092@XoyYF-_UMMk)i(;p2zFK008nv00000M`Vjc"
    "006Gi00000bH7AH008$)sdj_;?7R8>9asPW&}0Arcx#)BpB_EPP&=X+1(*N;EC0pG6_JVb(=h-5r1yXZru(u3fnA!+B)nXrL%J$?35-wQ0XktK"
    "vM~cOi&XxO&Mi;oUeCAFTc8_b0Baq~;>H!p9(y_=v5lDppZ$q!#Cy3Q!TRxN<xREL7_8j0f>GO9N=GZ+L}Nh+IN{zmL)T|+A~BCedm|yBdixi}"
    "Ehtvo$mg<dj*EL)fYo`MaSze>U!XBDwN(@R0KjzM^Y`6f3$}R?xF-P~6w-XY#LLD;=89yn45SFIb`h%i*9QFk%$T%E>=ah6SF_?|$l~@3YANy3"
    ";MwueOyZlTE<_HAQh-U!*axA0djW8IbsY&PWYy^TfY*rc&fZs8M8i?F8t=_Gj~#UO8vneq#^yTh5R38+d;|V8fd!_y5(%cGK7m*{xmAXAZ=&Kc"
    "X|xvZ$+exZM$$=VX~Bi2ZsKbawpS?2OVc3ND^jE}<#jkc`&C$(s?&5fU?E-Ww;R{kRv$`rU!#@HC7jEN43<t`-1^^(VntjhGp9?%i$t@o>^SeD"
    "ws$dL0DS|u0YQ<B3Sx0Wq1pDv?&!tN%%9HLQJfihV&_=$68|PPC`yx}XD&P}0muNWE8<vrLi&E&Q@q?WRk5hDP|&S_f$$aLp7vWW=4Fmd%z;*T"
    "efP_}dYXrhH;POyyI7V|11UXJP|z_%%L~mEK$9asXr$w&6j?4Ix-x!lVdvAFaW(U^HNVU$@&J8snu7Y&R&Rd7qO(U@FiZsVmOvhz3Zf$;G;Etq"
    "c%WF{JYFqW0_t!gqGzl3B6$V&UF^|c&W=o>>P3aSY0O_(9Xk9gU1|>&=&<Bm1;I)=LTs`+hgFe)a`iV*%J@VQ0e<rWiPI{&Cm?g)tO+1K3i_Qg"
    "g`g5y`FAhsF%YQpBEc9aJbl?MT^vLYq(;i{jO7^fQV}Y57+I+JrF|k8qftF5%<5Zx<dnOGFiO!QZ1jl|A!H`}Qh8H#g?}FtvX?~94=28IYSz2z"
    "Faf@q)iOZq0p_CtcP%ogo$#;B0z5)p48g^e$o3S|#?d>IbySTc6^urE-WQvg*x+cF?m1;iM}YI7hIiDfQ=(>qnogXU_IglV7TCa;-pkfFB}DZ0"
    "PI*ZxE$VBszA?<q#^4H<?^I12paZuhc89(Hm!twVK(m8oyxV8M!sf1iS-fZ|_uj?lEH5QWhu-JUHu#f#aaqNU&A=31r(ud}!D*u6Sqv<v`<jR7"
    "VKVyudx&l5(yhXAcQ7ZdnRV&_aqBPKJ4KR-G9Rx$`2qb8BQV-KhUl=Ig0xA@XDH2fNZ>}A?JHz(zM3@qMoGPzUcCef_UK;fPKJh3E%0WVb=pxW"
    "9w{{t&}Zhe8O^;7xLF<C@dFOUK$et={Fp>gq$En8tNPooU>zj@v_d1=Bf&Q}HYQebAI%UmP`TT)Tl{po$c9{lnR@hmMtr%zgxQ3<G=P_a@eT8|"
    "OKmp|gVdu%_oAGGmD%=mr7J}E&YI3>{b;srD<lwE{dbisDiiMzixOkPnx-H&8J3b_%mxByl=3D#97*i8<pj@-=jlpAw=(|agv5b3cz;I=Sngw!"
    "jFg(uPNXA3J_6Jy1?AIx1FOa)`UzMu495beUHJr6l=nc_ypt%{iJEHlNzrRY{5rIX-1=?vd;Jy0lFLimly&!wbM~zF<3{KjnVr+0EV_hS39}m>"
    "%Uczb<_$2AIOJ}^y}BsyI1gn4d*CWW@gapP|Ba0uJA#LHuSv?QywSIrS@DMcNn*3}p7z*^Sov}>Wa|KxoKzqPwjL!%v0j`TtW%0346>J!qeOi?"
    "j;_|nOjXsJLn31GR-62(Mq`|ZG_`VMo)*CBO_xishixUHzs|<}G8k!g99S~}oD#~rC$3`}05k*u-k>b^VgDHA+_2A2+mCqK-op)M>9rJ!3(D(c"
    "u>#~qr8LJz78V!xUsmLgFT6GJkV%Wo={NpFjB*)KQ+>IZ0JrZU0rdx)i#Y;DUQCKbja~WhHcMY_=q4<9yQR4O{={GUtM;75gmYjBhYH;fBt02!"
    "m`qpQ@&9(m`}f@F%5Px4-t&El6Eb*Rs0Pm5b8Oe7*IgNcfW2FrM-UYnHP%yk89b@#p092_>h8sjr=|rwxrrJ%*T?yD8=zrVPX&o{Kp_UF#eY)~"
    "YC|kk&+2ewJ}~>;h+T|LDNCWAf4ua_YjYf#)9~ShAoSPV*f5fJJCcVZj%i08p37!lUA(e$Q3jN9dp9B}-8JYdLHC-G3pEw}F#J`f`fqVwJ~OB;"
    "@H1I!#Qjb!(dH!)aOGo<m<p;W&VOJ4+&2^%^D+Jj8%G3q{)MW3!qhU&4W~CUVw9;Qx7ese{-{%1H2yB7q7Xt0@}(mzfj;xIJT>AZc`jQRyW^|b"
    "(MgsDGk9ND1Zy@p7tje?w#`6*cR&AvAb2CNW-uW9!+qoaY(>o<LXDejk}YuKVe3vW-CB2{(v9f8@pNQ<qa}~^yQs<?mZH-Lj$tfwK+_vTTY`*j"
    "#5vxF*In~Q$T@6~b2SBeIfTQVmUA_mA!H=1$k?uQ`j&?x>d~}+Me=so7QzKNH}f)Yy$Q`$voU)wo7S=mZ1Jy;y+n1X8m+`?btK7r8cY?Ncp>-{"
    "#wIrfD-CE{^*(7*SsM9->ug%D*cvJ84I47N#NA7hoxUn3oYleFLTmcdWxdBg7CJ!z^UmIzbc4-5$-YhWJJ!3o(D4aOElR;O&VzEOv*wrE6uXXv"
    "^B(xMZ*^(ANuT6+$ltA6$7D}mdC)a0BJ?Z|&FkusC92WX@VJe(fy*iDz>R-QfPU9Z6bk!*LD-LCi^R3bH*rdD"
)
